package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// byteOrderMark is U+FEFF in UTF-8. A JSON text should not begin with it, and a parser may ignore it (RFC 8259 §8.1).
var byteOrderMark = []byte("\xef\xbb\xbf")

// TrimBOM returns data without a byte order mark at its beginning.
func TrimBOM(data []byte) []byte { return bytes.TrimPrefix(data, byteOrderMark) }

// TokenAnswer reads the body of an OAuth token response (RFC 6749 §5.1 and §5.2) by what it is, whatever its Content-Type says: a JSON
// object, a form, or either of them in a JSON string. A byte order mark is ignored. Numbers are json.Number. ok is false for
// anything else, and for a body that is cut off. There is no error, because a parser's error may quote a token.
func TokenAnswer(body []byte) (fields map[string]any, ok bool) {
	body = bytes.TrimSpace(TrimBOM(bytes.TrimSpace(body)))
	if len(body) > 0 && body[0] == '"' {
		var inner string
		if json.Unmarshal(body, &inner) != nil {
			return nil, false
		}
		body = bytes.TrimSpace(TrimBOM([]byte(inner)))
	}
	if len(body) > 0 && body[0] == '{' {
		return tokenObject(body)
	}
	return tokenForm(string(body))
}

func tokenObject(body []byte) (map[string]any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var fields map[string]any
	if decoder.Decode(&fields) != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return fields, errors.Is(err, io.EOF)
}

// tokenFieldName is the form of the names in a form-encoded token response. It excludes other text that contains a "=".
var tokenFieldName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func tokenForm(body string) (map[string]any, bool) {
	values, err := url.ParseQuery(body)
	if err != nil || strings.ContainsAny(body, " \t\r\n<>\"{}") {
		return nil, false
	}
	fields := make(map[string]any, len(values))
	for name := range values {
		if !tokenFieldName.MatchString(name) {
			return nil, false
		}
		fields[name] = values.Get(name)
	}
	return fields, strings.Contains(body, "=")
}

// oauthErrors are the error codes of RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 8628 §3.5, RFC 8707 §2, RFC 9449 §5 and OpenID
// Connect Core §3.1.2.6, and others that many token endpoints use.
var oauthErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "access_denied",
	"unsupported_response_type", "server_error", "temporarily_unavailable", "invalid_token", "insufficient_scope", "authorization_pending",
	"slow_down", "expired_token", "invalid_target", "invalid_dpop_proof", "use_dpop_nonce", "interaction_required", "login_required",
	"account_selection_required", "consent_required", "rate_limited", "ratelimited", "internal_error", "fatal_error",
}

// TokenErrorCode returns code if it is one of OAuth's error codes or of known, and "" otherwise. Whatever else a token endpoint
// answers is not shown or logged, because it may contain a token.
func TokenErrorCode(code string, known ...string) string {
	if slices.Contains(oauthErrors, code) || slices.Contains(known, code) {
		return code
	}
	return ""
}

// maxTokenLifetime bounds the lifetime of an access token, so that its expiry stays representable.
const maxTokenLifetime = 100 * 365 * 24 * time.Hour

// TokenLifetime parses the expires_in of a token response: seconds as an integer or a fraction, with space around it as some
// servers send. It is at most a hundred years. It is 0, which means unknown, if the text is no number or not positive: RFC 6749
// §5.1 gives neither a meaning, and a server that sends 0 or less for a token that does not expire is more common than one that
// issues an expired token.
func TokenLifetime(text string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), math.IsNaN(n), n <= 0:
		return 0
	case n >= maxTokenLifetime.Seconds():
		return maxTokenLifetime
	}
	return time.Duration(n * float64(time.Second))
}
