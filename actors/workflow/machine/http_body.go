package machine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// setBody sets a body by the request's content type. A string is sent as it is. An object is a form under
// application/x-www-form-urlencoded, and the fields of one under multipart/form-data. Any other value is JSON.
func (r *HTTPRequest) setBody(body any) error {
	kind := r.Headers["content-type"]
	media, _, err := mime.ParseMediaType(kind)
	if err != nil {
		media = ""
	}
	object, isObject := body.(map[string]any)
	switch text, isText := body.(string); {
	case isText:
		r.Body = []byte(text)
		if kind == "" {
			r.Headers["content-type"] = "text/plain; charset=utf-8"
		}
		return nil
	case isObject && media == "application/x-www-form-urlencoded":
		return r.setForm(object)
	case isObject && media == "multipart/form-data":
		return r.setMultipart(object)
	}
	r.Body = language.Canonical(body)
	if kind == "" {
		r.Headers["content-type"] = "application/json"
	}
	return nil
}

// setForm sets a form (WHATWG URL, application/x-www-form-urlencoded). A list repeats its name; null leaves it out.
func (r *HTTPRequest) setForm(object map[string]any) error {
	form := url.Values{}
	for name, value := range object {
		texts, err := formTexts(name, value)
		if err != nil {
			return err
		}
		for _, text := range texts {
			form.Add(name, text)
		}
	}
	r.Body = []byte(form.Encode())
	return nil
}

// setMultipart sets the fields of a form by RFC 7578. The boundary is derived from the content, so that every attempt sends
// the same body.
func (r *HTTPRequest) setMultipart(object map[string]any) error {
	var body bytes.Buffer
	writer := multipart.NewWriter(&body)
	sum := sha256.Sum256(language.Canonical(object))
	if err := writer.SetBoundary(hex.EncodeToString(sum[:20])); err != nil {
		return fmt.Errorf("writing a form: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		texts, err := formTexts(name, object[name])
		if err != nil {
			return err
		}
		for _, text := range texts {
			if err := writer.WriteField(name, text); err != nil {
				return fmt.Errorf("writing a form: %w", err)
			}
		}
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("writing a form: %w", err)
	}
	r.Headers["content-type"], r.Body = writer.FormDataContentType(), body.Bytes()
	return nil
}

// formTexts are the values of one field of a form.
func formTexts(name string, value any) ([]string, error) {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	var texts []string
	for _, item := range list {
		switch item.(type) {
		case nil:
			continue
		case map[string]any, []any:
			return nil, NewError(TypeExpression, fmt.Sprintf("the field %.60q is an object or a list of lists, which a form cannot hold", name))
		}
		texts = append(texts, language.Text(item))
	}
	return texts, nil
}

// nameValues evaluates a map of names to values, or an expression for one. A list has several values; null leaves the name
// out.
func (e *evaluator) nameValues(definition, input any, scope language.Scope) (map[string][]string, error) {
	values := map[string][]string{}
	if definition == nil {
		return values, nil
	}
	filled, err := e.def.Fill(definition, input, scope)
	if err != nil {
		return nil, err
	}
	fields, isObject := filled.(map[string]any)
	if !isObject && filled != nil {
		return nil, NewError(TypeExpression, "headers and query must be objects")
	}
	for name, value := range fields {
		list, isList := value.([]any)
		if !isList {
			list = []any{value}
		}
		for _, item := range list {
			if item != nil {
				values[name] = append(values[name], language.Text(item))
			}
		}
	}
	return values, nil
}

// headerValues is nameValues for headers: lower-case names, each with its values joined by commas (RFC 9110 §5.3).
func (e *evaluator) headerValues(definition, input any, scope language.Scope) (map[string]string, error) {
	values, err := e.nameValues(definition, input, scope)
	headers := make(map[string]string, len(values))
	for name, texts := range values {
		headers[strings.ToLower(name)] = strings.Join(texts, ", ")
	}
	return headers, err
}
