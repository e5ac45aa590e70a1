package machine

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// OpenAPIRequest is an operation to call. The caller fetches Document, a JSON description, and asks Request what to
// send.
type OpenAPIRequest struct {
	Document    *HTTPRequest
	OperationID string
	Parameters  map[string]any
	Output      string
	Redirect    bool

	headers     map[string]string
	credentials *Credentials
}

// Request is the operation's request by the description: Swagger 2.0 or OpenAPI 3, as Response of Document gives it.
// Parameters go where the description puts them, and `body`, or what it does not name, into the body.
func (o *OpenAPIRequest) Request(description any) (*HTTPRequest, *Error) {
	root, _ := description.(map[string]any)
	paths, _ := root["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method, operation := range operations {
			body, isObject := operation.(map[string]any)
			if isObject && body["operationId"] == o.OperationID {
				shared, _ := operations["parameters"].([]any)
				own, _ := body["parameters"].([]any)
				base, err := o.base(root)
				if err != nil {
					return nil, err
				}
				return o.build(root, method, base+path, append(append([]any{}, shared...), own...))
			}
		}
	}
	return nil, NewError(TypeConfiguration, fmt.Sprintf("the description has no operation %.80q", o.OperationID))
}

// base is the URL that paths are relative to.
func (o *OpenAPIRequest) base(root map[string]any) (string, *Error) {
	document, err := url.Parse(o.Document.URL)
	if err != nil {
		return "", NewError(TypeConfiguration, "the description's address is not a URL")
	}
	relative := "/"
	if servers, _ := root["servers"].([]any); len(servers) > 0 {
		server, _ := servers[0].(map[string]any)
		relative = language.Text(server["url"])
	} else if root["swagger"] != nil {
		scheme, host := document.Scheme, document.Host
		schemes, _ := root["schemes"].([]any)
		if len(schemes) > 0 {
			scheme = language.Text(schemes[0])
			for _, offered := range schemes {
				if offered == document.Scheme {
					scheme = document.Scheme
				}
			}
		}
		if text, _ := root["host"].(string); text != "" {
			host = text
		}
		relative = scheme + "://" + host + language.Text(root["basePath"])
	}
	base, err := document.Parse(relative)
	if err != nil {
		return "", NewError(TypeConfiguration, "the description's server is not a URL")
	}
	return strings.TrimSuffix(base.String(), "/"), nil
}

func (o *OpenAPIRequest) build(root map[string]any, method, target string, parameters []any) (*HTTPRequest, *Error) {
	request := &HTTPRequest{Method: strings.ToUpper(method), Headers: map[string]string{"accept": "application/json"},
		Output: o.Output, Redirect: o.Redirect, Credentials: o.credentials}
	query, form, rest := url.Values{}, url.Values{}, map[string]any{}
	for name, value := range o.Parameters {
		rest[name] = value
	}
	for _, declared := range parameters {
		parameter := dereference(root, declared)
		name := language.Text(parameter["name"])
		value, given := rest[name]
		if !given || value == nil {
			if parameter["required"] == true && parameter["in"] != "body" {
				return nil, NewError(TypeValidation, fmt.Sprintf("the operation needs the parameter %.80q", name))
			}
			continue
		}
		delete(rest, name)
		switch parameter["in"] {
		case "path":
			target = strings.ReplaceAll(target, "{"+name+"}", url.PathEscape(language.Text(value)))
		case "query":
			addQuery(query, name, value)
		case "header":
			request.Headers[strings.ToLower(name)] = language.Text(value)
		case "formData":
			form.Set(name, language.Text(value))
		case "body":
			request.setBody(value)
		}
	}
	switch body, given := rest["body"]; {
	case len(form) > 0:
		request.Headers["content-type"], request.Body = "application/x-www-form-urlencoded", []byte(form.Encode())
	case given:
		request.setBody(body)
	case len(rest) > 0 && request.Body == nil && method != "get" && method != "delete" && method != "head":
		request.setBody(rest)
	}
	for name, value := range o.headers {
		request.Headers[name] = value
	}
	full, err := withQuery(target, nil)
	if err != nil {
		return nil, NewError(TypeConfiguration, err.Error())
	}
	if len(query) > 0 {
		full += "?" + query.Encode()
	}
	request.URL = full
	return request, nil
}

// addQuery adds a list as repeated parameters.
func addQuery(query url.Values, name string, value any) {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, item := range list {
		query.Add(name, language.Text(item))
	}
}

// dereference follows a reference inside of the description.
func dereference(root map[string]any, value any) map[string]any {
	object, _ := value.(map[string]any)
	reference, isReference := object["$ref"].(string)
	if !isReference {
		return object
	}
	var at any = root
	for token := range strings.SplitSeq(strings.TrimPrefix(reference, "#/"), "/") {
		parent, _ := at.(map[string]any)
		at = parent[strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")]
	}
	object, _ = at.(map[string]any)
	return object
}
