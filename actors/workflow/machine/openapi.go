package machine

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// OpenAPIRequest is an operation to call. The caller fetches Document, an OpenAPI description in JSON, and passes its
// content to Request.
type OpenAPIRequest struct {
	Document    *HTTPRequest
	OperationID string
	Parameters  map[string]any
	Output      string
	Redirect    bool

	headers     map[string]string
	credentials *Credentials
	secret      language.SecretUse
}

// Request is the HTTP request of the operation according to the description: Swagger 2.0 or OpenAPI 3, as Response of
// Document returns it. Parameters are placed as the description says; `body`, or the parameters that it does not
// declare, become the body.
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
				base, err := o.baseURL(root)
				if err != nil {
					return nil, err
				}
				return o.request(root, method, base+path, append(append([]any{}, shared...), own...))
			}
		}
	}
	return nil, NewError(TypeConfiguration, fmt.Sprintf("the OpenAPI description has no operation %.80q", o.OperationID))
}

// baseURL is the URL that paths are relative to.
func (o *OpenAPIRequest) baseURL(root map[string]any) (string, *Error) {
	document, err := url.Parse(o.Document.URL)
	if err != nil {
		return "", NewError(TypeConfiguration, "the URL of the OpenAPI description is invalid")
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
		return "", NewError(TypeConfiguration, "the server URL of the OpenAPI description is invalid")
	}
	return strings.TrimSuffix(base.String(), "/"), nil
}

func (o *OpenAPIRequest) request(root map[string]any, method, target string, parameters []any) (*HTTPRequest, *Error) {
	request := &HTTPRequest{Method: strings.ToUpper(method), Headers: map[string]string{"accept": "application/json"},
		Output: o.Output, Redirect: o.Redirect, Credentials: o.credentials, Secret: o.secret}
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
				return nil, NewError(TypeValidation, fmt.Sprintf("the operation requires the parameter %.80q", name))
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
		return nil, asError(err)
	}
	if len(query) > 0 {
		full += "?" + query.Encode()
	}
	request.URL = full
	return request, nil
}

// addQuery adds a parameter; a list is added as repeated parameters.
func addQuery(query url.Values, name string, value any) {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, item := range list {
		query.Add(name, language.Text(item))
	}
}

// dereference follows a $ref within the description.
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
