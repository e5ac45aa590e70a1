package machine

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// HTTPRequest is a request as it is to be sent.
type HTTPRequest struct {
	// Method is in upper case; URL is absolute and carries the query.
	Method, URL string
	// Headers have canonical names in lower case. They may carry credentials: do not log them.
	Headers map[string]string
	// Body is what is sent; nil means no body.
	Body []byte
	// Output says what Response makes of the answer: content, response or raw.
	Output string
	// Redirect true takes a status of 300 to 399 as an answer; false makes it an error. Redirects are not followed
	// by the machine: whether they are is the caller's to decide, before it hands the answer in.
	Redirect bool
	// Credentials are to be got before the request is sent, see Send; nil when it has all that it needs.
	Credentials *Credentials
}

// HTTPResponse is an answer as it came.
type HTTPResponse struct {
	Status  int
	Headers map[string]string
	Body    []byte
}

// withQuery adds parameters to a URL and checks that it is one.
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

func lower(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, value := range headers {
		out[strings.ToLower(name)] = value
	}
	return out
}

// setBody writes a body: a text as it is, all else as JSON.
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

// Response makes of an answer the output of the call, or its error. A status outside of 200 to 299 (to 399 with
// Redirect) is a communication error of that status.
func (r *HTTPRequest) Response(response HTTPResponse) (any, *Error) {
	last := 299
	if r.Redirect {
		last = 399
	}
	if response.Status < 200 || response.Status > last {
		failure := NewError(TypeCommunication, fmt.Sprintf("%s %s was answered with status %d", r.Method, bare(r.URL), response.Status))
		failure.Status = response.Status
		return nil, failure
	}
	switch r.Output {
	case "raw":
		return base64.StdEncoding.EncodeToString(response.Body), nil
	case "response":
		return r.whole(response), nil
	}
	content, err := content(response)
	return content, err
}

func (r *HTTPRequest) whole(response HTTPResponse) any {
	sent, received := map[string]any{}, map[string]any{}
	for name, value := range r.Headers {
		if !slices.Contains([]string{"authorization", "cookie", "proxy-authorization"}, name) {
			sent[name] = value
		}
	}
	for name, value := range lower(response.Headers) {
		received[name] = value
	}
	body, err := content(response)
	if err != nil {
		body = string(response.Body)
	}
	return map[string]any{"request": map[string]any{"method": r.Method, "uri": r.URL, "headers": sent},
		"statusCode": response.Status, "headers": received, "content": body}
}

// content reads a body by its media type: JSON as a value, text as text, all else as base64; null when empty.
func content(response HTTPResponse) (any, *Error) {
	if len(response.Body) == 0 {
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(lower(response.Headers)["content-type"])
	if err != nil {
		kind = "text/plain" // an answer that does not say what it is
	}
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		value, err := language.Decode(response.Body)
		if err != nil {
			return nil, NewError(TypeCommunication, "the answer is not the JSON that it says it is")
		}
		return value, nil
	case strings.HasPrefix(kind, "text/"), kind == "application/xml", kind == "application/yaml":
		return string(response.Body), nil
	}
	return base64.StdEncoding.EncodeToString(response.Body), nil
}

// bare is a URL without what may be secret: its user and its query.
func bare(target string) string {
	parsed, err := url.Parse(target)
	if err != nil {
		return "the endpoint"
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return parsed.String()
}
