package language

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDataDepth bounds the nesting of objects and lists in data that DecodeStrict reads.
const MaxDataDepth = MaxResultDepth

// Decode decodes a JSON value that weft has written itself, such as an event of the log. Its numbers have the forms of
// Number, so integers and decimals keep all their digits.
func Decode(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	if decoder.More() {
		return nil, fmt.Errorf("decoding JSON: data after the value")
	}
	return Normalize(value), nil
}

// DataError says what is wrong with JSON that was received, and where. It quotes at most one number or name.
type DataError struct {
	// Pointer is the RFC 6901 pointer of the value; empty for the whole document.
	Pointer string
	Message string
}

// Error formats the error as message, at pointer.
func (e *DataError) Error() string {
	if e.Pointer == "" {
		return e.Message
	}
	return fmt.Sprintf("%s, at %.200q", e.Message, e.Pointer)
}

// DecodeStrict decodes a JSON value that somebody else has written: an input, an event, the response to a call. It refuses
// what JSON processors read in different ways (RFC 8259 §4, §6, §8.2; RFC 7493): a name that occurs twice in an object,
// text that is not UTF-8, a surrogate without its partner, and a number that Number refuses. So nothing is lost or changed
// without a word. Nesting deeper than MaxDataDepth is refused too; a byte order mark is ignored (RFC 8259 §8.1). The error is a *DataError.
func DecodeStrict(data []byte) (any, error) {
	r := strictReader{jsontext.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))}
	value, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, &DataError{Message: "there is data after the JSON value"}
	}
	return value, nil
}

// maxDocumentValues bounds the values of a document that DecodeDocument reads, with aliases expanded.
const maxDocumentValues = 1_000_000

// DecodeDocument decodes a document that somebody else has written, in JSON or YAML 1.2, such as an OpenAPI description. A
// byte order mark is ignored.
func DecodeDocument(text []byte) (any, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	if len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		// Text that is not JSON may be YAML in flow style.
		if value, err := DecodeStrict(text); err == nil {
			return value, nil
		}
	}
	root, wrong := parseYAML(text)
	if wrong != nil {
		return nil, errors.New(wrong.Message)
	}
	r := &reader{workflow: &Workflow{}, nodes: MaxNodes - maxDocumentValues}
	value := r.toJSON(resolveAlias(root), "", 0)
	if len(r.faults) > 0 {
		return nil, fmt.Errorf("line %d: %s", r.faults[0].Line, r.faults[0].Message)
	}
	return value, nil
}

type strictReader struct{ *jsontext.Decoder }

func (r *strictReader) value(depth int) (any, error) {
	token, err := r.ReadToken()
	if err != nil {
		return nil, r.refuse(err)
	}
	if depth >= MaxDataDepth && (token.Kind() == '{' || token.Kind() == '[') {
		return nil, &DataError{Message: fmt.Sprintf("the JSON is nested more than %d levels deep", MaxDataDepth)}
	}
	switch token.Kind() {
	case '{':
		return r.object(depth)
	case '[':
		list := []any{}
		for r.PeekKind() != ']' {
			item, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, r.end()
	case '"':
		return token.String(), nil
	case '0':
		number, err := Number(token.String())
		if err != nil {
			return nil, &DataError{Pointer: string(r.StackPointer()), Message: err.Error()}
		}
		return number, nil
	case 't', 'f':
		return token.Bool(), nil
	}
	return nil, nil
}

func (r *strictReader) object(depth int) (any, error) {
	object := map[string]any{}
	for r.PeekKind() != '}' {
		name, err := r.ReadToken()
		if err != nil {
			return nil, r.refuse(err)
		}
		key := name.String()
		if object[key], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return object, r.end()
}

// end reads the end of an object or a list.
func (r *strictReader) end() error {
	if _, err := r.ReadToken(); err != nil {
		return r.refuse(err)
	}
	return nil
}

// refuse describes an error of the decoder in words of weft.
func (r *strictReader) refuse(err error) error {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &DataError{Message: "the JSON ends too early"}
	case !errors.As(err, &syntactic):
		return &DataError{Message: "it is not valid JSON"}
	case errors.Is(err, jsontext.ErrDuplicateName):
		pointer := syntactic.JSONPointer
		return &DataError{Pointer: string(pointer), Message: fmt.Sprintf("the name %.60q occurs twice in an object", pointer.LastToken())}
	case syntactic.Err != nil && bytes.Contains([]byte(syntactic.Err.Error()), []byte("UTF-8")):
		return &DataError{Pointer: string(syntactic.JSONPointer), Message: "a text is not valid UTF-8"}
	case syntactic.Err != nil && bytes.Contains([]byte(syntactic.Err.Error()), []byte("surrogate")):
		return &DataError{Pointer: string(syntactic.JSONPointer), Message: "a text has half of a surrogate pair (\\ud800 to \\udfff)"}
	}
	return &DataError{Message: fmt.Sprintf("it is not valid JSON from byte %d on", syntactic.ByteOffset)}
}
