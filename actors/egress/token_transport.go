package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// TokenTransport makes the token requests of an OAuth library. It reads an answer by what it is (TokenAnswer) and passes it on as the JSON
// object of RFC 6749 §5.1 or §5.2 with only the fields that are used, so that no error of the library or of a parser can quote a token,
// and neither an error description, which may be anything.
type TokenTransport struct {
	Base http.RoundTripper
	// Codes are error codes that are kept besides OAuth's.
	Codes []string
}

// RoundTrip implements http.RoundTripper.
func (t TokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.Base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	fields, _ := TokenAnswer(body)
	plain := t.plain(fields, answer.StatusCode)
	answer.Header = http.Header{"Content-Type": {"application/json"}}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
	return answer, nil
}

// plain encodes what is used of a token answer's fields.
func (t TokenTransport) plain(fields map[string]any, status int) []byte {
	plain := map[string]any{}
	if status >= 200 && status <= 299 {
		for _, name := range []string{"access_token", "refresh_token", "token_type", "id_token", "scope"} {
			if text := plainText(fields[name]); text != "" {
				plain[name] = text
			}
		}
		if seconds := int64(TokenLifetime(plainText(fields["expires_in"])) / time.Second); seconds > 0 {
			plain["expires_in"] = json.Number(strconv.FormatInt(seconds, 10))
		}
	}
	if code := plainText(fields["error"]); code != "" {
		// An answer with an error code is an error whatever its status.
		plain["error"] = "error"
		if known := TokenErrorCode(code, t.Codes...); known != "" {
			plain["error"] = known
		}
	}
	encoded, err := json.Marshal(plain)
	if err != nil {
		return []byte("{}") // never: it has strings and numbers only
	}
	return encoded
}

func plainText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}
