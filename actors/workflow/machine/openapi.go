package machine

import (
	"encoding/base64"
	"errors"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/openapi"
)

// OpenAPIRequest is an operation to call. The caller fetches Document, an OpenAPI description, and passes its content to
// Request.
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

// Request is the HTTP request of the operation according to the description: a decoded one, or its text as Response of
// Document returns it. Package openapi says how parameters are placed.
func (o *OpenAPIRequest) Request(description any) (*HTTPRequest, *Error) {
	parsed := openapi.Of(description)
	if encoded, isText := description.(string); isText {
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err == nil {
			parsed, err = openapi.Parse(text)
		}
		if err != nil {
			return nil, NewError(TypeConfiguration, err.Error())
		}
	}
	built, err := parsed.Build(o.Document.URL, o.OperationID, o.Parameters)
	var invalid *openapi.Invalid
	switch {
	case errors.As(err, &invalid):
		return nil, NewError(TypeValidation, invalid.Message)
	case err != nil:
		return nil, NewError(TypeConfiguration, err.Error())
	}
	request := &HTTPRequest{Method: built.Method, Headers: built.Headers, Output: o.Output, Redirect: o.Redirect, Credentials: o.credentials, Secret: o.secret}
	if request.URL, err = withQuery(built.URL, nil); err != nil {
		return nil, asError(err)
	}
	switch {
	case built.Form != nil:
		request.Body = []byte(*built.Form)
	case built.HasBody:
		if err := request.setBody(built.Body); err != nil {
			return nil, asError(err)
		}
	}
	for name, value := range o.headers {
		request.Headers[name] = value
	}
	return request, nil
}
