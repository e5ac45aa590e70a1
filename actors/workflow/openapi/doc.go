// Package openapi builds the HTTP request of an operation from an OpenAPI description: OpenAPI 3.0 and 3.1, and Swagger 2.0,
// in JSON or YAML. It does not validate the description; it reads what the request needs of it, and refuses what it cannot
// follow. The package is pure.
package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// MaxDescription bounds the text of a description, in bytes.
const MaxDescription = 4 << 20

// maxReferences bounds the references that lead to one object.
const maxReferences = 16

// Invalid is an error of the values that were given for an operation; any other error is one of the description.
type Invalid struct{ Message string }

func (e *Invalid) Error() string { return e.Message }

// Request is the request of an operation. Headers have lower-case names.
type Request struct {
	Method, URL string
	Headers     map[string]string
	// Body is what the media type in content-type encodes: a string is sent as it is, an object of a form is encoded as
	// one, anything else is JSON. HasBody tells null from no body.
	Body    any
	HasBody bool
	// Form is the body of application/x-www-form-urlencoded, encoded; Body is then not set.
	Form *string
}

// Description is a description as a JSON value.
type Description struct{ root map[string]any }

// Parse reads the text of a description, JSON or YAML, whatever its media type says.
func Parse(text []byte) (*Description, error) {
	if len(text) > MaxDescription {
		return nil, fmt.Errorf("the OpenAPI description is larger than %d bytes", MaxDescription)
	}
	value, err := language.DecodeDocument(text)
	if err != nil {
		return nil, fmt.Errorf("the OpenAPI description cannot be read: %w", err)
	}
	return Of(value), nil
}

// Of is a description that is decoded already.
func Of(value any) *Description {
	root, _ := value.(map[string]any)
	return &Description{root}
}

// methods are the fixed fields of a Path Item Object that hold operations.
var methods = []string{"delete", "get", "head", "options", "patch", "post", "put", "trace"}

// operation is an operation with what its path item adds.
type operation struct {
	method, path string
	body         map[string]any
	item         map[string]any
	parameters   []map[string]any
}

// find returns the operation with an id, with the parameters of its path item that it does not override.
func (d *Description) find(id string) (*operation, error) {
	paths := objectOf(d.root["paths"])
	var known []string
	for path, value := range paths {
		item, err := d.follow(value)
		if err != nil {
			return nil, err
		}
		for _, method := range methods {
			body := objectOf(item[method])
			if name, ok := body["operationId"].(string); ok && name != id {
				known = append(known, name)
			}
			if body == nil || body["operationId"] != id {
				continue
			}
			op := &operation{method: method, path: path, body: body, item: item}
			return op, d.addParameters(op)
		}
	}
	return nil, fmt.Errorf("the OpenAPI description has no operation %.80q%s", id, language.DidYouMean(id, known))
}

// addParameters collects the parameters of an operation: its own, and those of the path item under other names or in
// other places.
func (d *Description) addParameters(op *operation) error {
	for _, list := range []any{op.body["parameters"], op.item["parameters"]} {
		declared, _ := list.([]any)
		for _, value := range declared {
			parameter, err := d.follow(value)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(op.parameters, func(own map[string]any) bool {
				return own["name"] == parameter["name"] && own["in"] == parameter["in"]
			}) {
				op.parameters = append(op.parameters, parameter)
			}
		}
	}
	return nil
}

// follow resolves the references within the description that lead to an object.
func (d *Description) follow(value any) (map[string]any, error) {
	object := objectOf(value)
	for range maxReferences {
		reference, isReference := object["$ref"].(string)
		if !isReference {
			return object, nil
		}
		path, local := strings.CutPrefix(reference, "#/")
		if !local {
			return nil, fmt.Errorf("the OpenAPI description refers to %.100q, which is outside of it", reference)
		}
		var at any = d.root
		for token := range strings.SplitSeq(path, "/") {
			at = objectOf(at)[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
		}
		if object = objectOf(at); object == nil {
			return nil, fmt.Errorf("the OpenAPI description has nothing at %.100q", reference)
		}
	}
	return nil, fmt.Errorf("the OpenAPI description has more than %d references in a row", maxReferences)
}

func objectOf(value any) map[string]any {
	object, _ := value.(map[string]any)
	return object
}

func textOf(value any) string {
	text, _ := value.(string)
	return text
}
