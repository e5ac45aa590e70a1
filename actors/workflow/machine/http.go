package machine

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// HTTPRequest is a request to be sent.
type HTTPRequest struct {
	// Method is in upper case; URL is absolute and carries the query.
	Method, URL string
	// Headers have lower-case names. They may contain credentials: do not log them.
	Headers map[string]string
	// Body is the body; nil means none.
	Body []byte
	// Output selects what Response returns: content, response or raw.
	Output string
	// Redirect accepts a status of 300 to 399 as success; otherwise it is an error. The machine does not follow
	// redirects; the caller may do so before it returns the response.
	Redirect bool
	// MaxBody bounds the body of the response, in bytes; 0 means the caller's own bound.
	MaxBody int64
	// Credentials must be obtained before the request is sent, see Send; nil when the request is complete.
	Credentials *Credentials
	// Secret says which parts derive from $secrets: Response does not repeat them.
	Secret language.SecretUse
}

// HTTPResponse is a response as received.
type HTTPResponse struct {
	Status  int
	Headers map[string]string
	Body    []byte
}

// withQuery adds query parameters to an absolute HTTP URL, in place of those of the same name; any other URL is an error. The
// rest of its query stays as it is.
func withQuery(target string, query map[string][]string) (string, error) {
	parsed, err := url.Parse(target)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return "", NewError(TypeConfiguration, fmt.Sprintf("%.200q is not an absolute HTTP URL", target))
	}
	if len(query) == 0 {
		return parsed.String(), nil
	}
	var pairs []string
	for pair := range strings.SplitSeq(parsed.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if _, replaced := query[name]; !replaced && pair != "" {
			pairs = append(pairs, pair)
		}
	}
	if added := url.Values(query).Encode(); added != "" {
		pairs = append(pairs, added)
	}
	parsed.RawQuery = strings.Join(pairs, "&")
	return parsed.String(), nil
}

func lowerKeys(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, value := range headers {
		out[strings.ToLower(name)] = value
	}
	return out
}

// Response converts a response to the output of the call, or to its error. A status outside of 200 to 299 (to 399 with
// Redirect) is a communication error with that status.
func (r *HTTPRequest) Response(response HTTPResponse) (any, *Error) {
	last := 299
	if r.Redirect {
		last = 399
	}
	if response.Status < 200 || response.Status > last {
		failure := NewError(TypeCommunication, fmt.Sprintf("%s %s returned status %d", r.Method, redactedURL(r.URL), response.Status))
		failure.Status = response.Status
		return nil, failure
	}
	switch r.Output {
	case "raw":
		return base64.StdEncoding.EncodeToString(response.Body), nil
	case "response":
		return r.fullResponse(response), nil
	}
	content, err := decodeBody(response)
	return content, err
}

func (r *HTTPRequest) fullResponse(response HTTPResponse) any {
	sent, received := map[string]any{}, map[string]any{}
	for name, value := range r.Headers {
		if !r.secretHeader(strings.ToLower(name)) {
			sent[http.CanonicalHeaderKey(name)] = value
		}
	}
	method, uri := r.Method, r.URL
	if r.Secret.Method {
		method = masked
	}
	if r.Secret.URI {
		uri = masked
	}
	for name, value := range response.Headers {
		received[http.CanonicalHeaderKey(name)] = value
	}
	body, err := decodeBody(response)
	if err != nil {
		body = string(response.Body)
	}
	return map[string]any{"request": map[string]any{"method": method, "uri": uri, "headers": sent},
		"statusCode": response.Status, "headers": received, "content": body}
}

// decodeBody decodes a body by its media type: JSON as a value, text as a string, anything else as base64; null when
// empty.
func decodeBody(response HTTPResponse) (any, *Error) {
	if len(response.Body) == 0 {
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(lowerKeys(response.Headers)["content-type"])
	if err != nil {
		kind = "text/plain" // the response has no valid media type
	}
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		value, err := language.DecodeStrict(response.Body)
		if err != nil {
			return nil, NewError(TypeCommunication, "the response declares JSON that cannot be read: "+err.Error())
		}
		return value, nil
	case strings.HasPrefix(kind, "text/"), kind == "application/xml", kind == "application/yaml":
		return string(response.Body), nil
	}
	return base64.StdEncoding.EncodeToString(response.Body), nil
}

// redactedURL is a URL without its user info, query and fragment, which may be secret.
func redactedURL(target string) string {
	parsed, err := url.Parse(target)
	if err != nil {
		return "the endpoint"
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return parsed.String()
}
