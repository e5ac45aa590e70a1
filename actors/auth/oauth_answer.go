package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// providerErrorCodes are error codes of token endpoints besides OAuth's. grantErrors are those that mean that a code or a refresh token
// is not valid.
var (
	grantErrors        = []string{"invalid_grant", "bad_verification_code", "bad_refresh_token"}
	providerErrorCodes = append(slices.Clone(grantErrors), "incorrect_client_credentials", "redirect_uri_mismatch")
)

// tokenTransport makes the token requests of x/oauth2. It reads an answer by what it is and passes it on as the JSON object of RFC 6749
// §5.1 or §5.2 with only the fields that are used, so that no error of x/oauth2 or of a parser can quote a token, and neither an error
// description, which may be anything.
type tokenTransport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	fields, _ := egress.TokenAnswer(body)
	plain := plainAnswer(fields, answer.StatusCode)
	answer.Header = http.Header{"Content-Type": {"application/json"}}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
	return answer, nil
}

// plainAnswer encodes what is used of a token answer's fields.
func plainAnswer(fields map[string]any, status int) []byte {
	plain := map[string]any{}
	keep := func(names ...string) {
		for _, name := range names {
			switch v := fields[name].(type) {
			case string:
				plain[name] = v
			case json.Number:
				plain[name] = v.String()
			}
		}
	}
	if status >= 200 && status <= 299 {
		keep("access_token", "refresh_token", "token_type", "id_token", "scope", "expires_in")
	}
	if life, given := plain["expires_in"].(string); given {
		delete(plain, "expires_in")
		if seconds := int64(egress.TokenLifetime(life) / time.Second); seconds > 0 {
			plain["expires_in"] = json.Number(strconv.FormatInt(seconds, 10))
		}
	}
	if code, _ := fields["error"].(string); code != "" {
		// x/oauth2 takes an answer with an error code for an error whatever its status.
		plain["error"] = "error"
		if known := egress.TokenErrorCode(code, providerErrorCodes...); known != "" {
			plain["error"] = known
		}
	}
	encoded, err := json.Marshal(plain)
	if err != nil {
		return []byte("{}") // never: it has strings and numbers only
	}
	return encoded
}

// idTokenError is the error of an ID token that was not accepted. The verifier's own text quotes the token's claims.
func idTokenError(err error) error {
	text := err.Error()
	for _, known := range [][2]string{
		{"different provider", "the ID token has another issuer"}, {"audience", "the ID token has another audience"},
		{"expired", "the ID token has expired"}, {"nbf", "the ID token is not valid yet"}, {"signature", "the ID token's signature is not valid"},
		{"malformed", "the ID token is malformed"},
	} {
		if strings.Contains(text, known[0]) {
			return errors.New(known[1])
		}
	}
	return errors.New("the ID token is not valid")
}
