package machine

import (
	"encoding/base64"
	"fmt"
	"mime"
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

// withQuery adds query parameters to an absolute HTTP URL; any other URL is an error.
func withQuery(target string, query map[string]string) (string, error) {
	parsed, err := url.Parse(target)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return "", NewError(TypeConfiguration, fmt.Sprintf("%.200q is not an absolute HTTP URL", target))
	}
	if len(query) > 0 {
		values := parsed.Query()
		for name, value := range query {
			values.Set(name, value)
		}
		parsed.RawQuery = values.Encode()
	}
	return parsed.String(), nil
}

func lowerKeys(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, value := range headers {
		out[strings.ToLower(name)] = value
	}
	return out
}

// setBody sets a body: a string as it is, any other value as JSON.
func (r *HTTPRequest) setBody(body any) {
	kind := "application/json"
	if text, isText := body.(string); isText {
		r.Body = []byte(text)
		kind = "text/plain; charset=utf-8"
	} else {
		r.Body = language.Canonical(body)
	}
	if r.Headers["content-type"] == "" {
		r.Headers["content-type"] = kind
	}
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
		if !r.secretHeader(name) {
			sent[name] = value
		}
	}
	method, uri := r.Method, r.URL
	if r.Secret.Method {
		method = masked
	}
	if r.Secret.URI {
		uri = masked
	}
	for name, value := range lowerKeys(response.Headers) {
		received[name] = value
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
		value, err := language.Decode(response.Body)
		if err != nil {
			return nil, NewError(TypeCommunication, "the response declares JSON but is not valid JSON")
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
