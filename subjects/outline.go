package subjects

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a request message.
const (
	// MaxDepth is how deep arrays and objects may be nested.
	MaxDepth = 1000
	// MaxValues is how many values a message may have: objects, arrays, strings, numbers, booleans and nulls.
	MaxValues = 200_000
	// maxUnknown is how many unknown fields are reported together; reading ends at the next one.
	maxUnknown = 16
	// pooledMessage is the size in bytes up to which the decoder of a message is used again: that of a larger one may hold the names of
	// many fields.
	pooledMessage = 64 << 10
)

// Outline reads a message as far as the request's schema describes it: it has the values that Validate checks, and in place of
// free-form JSON and of the contents of unknown fields an empty value of the same type. So a message costs its bytes, whatever it
// contains, until it is known to be valid. It fails with CodeInvalid if the message is not JSON, has a key twice, more than
// maxUnknown unknown fields, or is nested deeper than MaxDepth, and with CodeTooLarge if it has more than MaxValues values or more
// than MaxMessage bytes. A byte order mark is ignored (RFC 8259 §8.1).
func (d *Descriptor) Outline(data []byte) (any, error) { return d.outline(data, false) }

// OutlineFields is Outline for a process that only forwards the message: it finds the fields of the request that are given twice, but not the
// names in free-form JSON, for which it would have to remember all of them.
func (d *Descriptor) OutlineFields(data []byte) (any, error) { return d.outline(data, true) }

func (d *Descriptor) outline(data []byte, duplicates bool) (any, error) {
	if err := d.CheckSize(len(data)); err != nil {
		return nil, err
	}
	data = TrimBOM(data)
	o := outlines.Get().(*outline)
	o.reset(data, duplicates)
	v, err := o.read(d.Request)
	if err == nil {
		err = o.end(data)
	}
	if len(data) <= pooledMessage {
		o.reset(nil, false)
		outlines.Put(o)
	}
	if err != nil {
		var own *Error
		if errors.As(err, &own) {
			return nil, own
		}
		return nil, notJSON(err)
	}
	return v, nil
}

// outline reads one message.
type outline struct {
	decoder jsontext.Decoder
	buffer  bytes.Buffer
	values  int
	unknown int
}

var outlines = sync.Pool{New: func() any { return new(outline) }}

func (o *outline) reset(data []byte, duplicates bool) {
	o.values, o.unknown = 0, 0
	o.buffer = *bytes.NewBuffer(data)
	if duplicates {
		o.decoder.Reset(&o.buffer, jsontext.AllowDuplicateNames(true))
	} else {
		o.decoder.Reset(&o.buffer)
	}
}

// end fails if something follows the message's value.
func (o *outline) end(data []byte) error {
	at := int(o.decoder.InputOffset())
	rest := bytes.TrimLeft(data[at:], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	return &jsontext.SyntacticError{ByteOffset: int64(len(data) - len(rest)), Err: errors.New("data after the value")}
}

// count takes one more value and checks the bounds of the message.
func (o *outline) count() error {
	if o.values++; o.values > MaxValues {
		return Errorf(CodeTooLarge, "the message has more than %d values", MaxValues)
	}
	return nil
}

// open reads the token that opens an object or an array.
func (o *outline) open() error {
	if _, err := o.decoder.ReadToken(); err != nil {
		return err
	}
	if o.decoder.StackDepth() > MaxDepth {
		return Errorf(CodeInvalid, "the message is nested deeper than %d levels", MaxDepth)
	}
	return nil
}

// read reads the next value by its schema. An error that is no *Error is one of jsontext or of package json.
func (o *outline) read(s *huma.Schema) (any, error) {
	s = resolve(s)
	switch kind := o.decoder.PeekKind(); {
	case combined(s):
		var v any
		err := json.UnmarshalDecode(&o.decoder, &v)
		return v, err
	case kind == '{' && s.Type == huma.TypeObject:
		return o.object(s)
	case kind == '[' && s.Type == huma.TypeArray && s.Items != nil:
		return o.array(s)
	case kind == '"' && s.Type == huma.TypeString && s.Extensions[encodingExtension] == nil:
		if err := o.count(); err != nil {
			return nil, err
		}
		token, err := o.decoder.ReadToken()
		if err != nil {
			return nil, err
		}
		return token.String(), nil
	}
	return o.skip()
}

// combined reports whether a schema combines others. No request has one at present.
func combined(s *huma.Schema) bool {
	return len(s.OneOf)+len(s.AnyOf)+len(s.AllOf) > 0 || s.Not != nil
}

// freeForm reports whether a schema accepts any value.
func freeForm(s *huma.Schema) bool {
	s = resolve(s)
	return s.Type == "" && len(s.Enum) == 0 && !combined(s)
}

// object reads an object. It keeps the members that the schema describes, and the names of those that it does not allow.
func (o *outline) object(s *huma.Schema) (any, error) {
	if err := o.count(); err != nil {
		return nil, err
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	more, _ := s.AdditionalProperties.(*huma.Schema)
	allowed, _ := s.AdditionalProperties.(bool)
	if more != nil && freeForm(more) {
		more, allowed = nil, true
	}
	value := make(map[string]any, min(len(s.Properties), 8))
	for o.decoder.PeekKind() != '}' {
		name, err := o.decoder.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if _, exists := value[key]; exists { // where the decoder allows it
			return nil, InvalidField(fieldOf(o.decoder.StackPointer()), "given more than once")
		}
		property := s.Properties[key]
		switch {
		case property != nil || more != nil:
			if property == nil {
				property = more
			}
			if value[key], err = o.read(property); err != nil {
				return nil, err
			}
			continue
		case !allowed:
			if o.unknown++; o.unknown > maxUnknown {
				return nil, InvalidField(fieldOf(o.decoder.StackPointer()), "unexpected property")
			}
			value[key] = nil
		case strings.IndexByte(key, 0) >= 0:
			value[key] = nil // for unstorable
		}
		if _, err := o.skip(); err != nil {
			return nil, err
		}
	}
	_, err := o.decoder.ReadToken()
	return value, err
}

// array reads an array. It keeps one item more than the schema allows.
func (o *outline) array(s *huma.Schema) (any, error) {
	if err := o.count(); err != nil {
		return nil, err
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	value := []any{}
	for o.decoder.PeekKind() != ']' {
		if s.MaxItems != nil && len(value) > *s.MaxItems {
			if _, err := o.skip(); err != nil {
				return nil, err
			}
			continue
		}
		item, err := o.read(s.Items)
		if err != nil {
			return nil, err
		}
		value = append(value, item)
	}
	_, err := o.decoder.ReadToken()
	return value, err
}

// skip reads a value without keeping what it contains. It returns an empty value of the same type, and booleans and numbers
// themselves.
func (o *outline) skip() (any, error) {
	kind := o.decoder.PeekKind()
	if kind != '{' && kind != '[' {
		return o.scalar()
	}
	for depth := o.decoder.StackDepth(); ; {
		var err error
		switch o.decoder.PeekKind() {
		case '{', '[':
			if err = o.count(); err == nil {
				err = o.open()
			}
		case '}', ']':
			_, err = o.decoder.ReadToken()
		default:
			if of, length := o.decoder.StackIndex(o.decoder.StackDepth()); of == '{' && length%2 == 0 {
				_, err = o.decoder.ReadToken()
			} else {
				_, err = o.scalar()
			}
		}
		if err != nil {
			return nil, err
		}
		if o.decoder.StackDepth() == depth {
			break
		}
	}
	if kind == '{' {
		return map[string]any{}, nil
	}
	return []any{}, nil
}

// scalar reads a value that is neither object nor array. A string is returned empty.
func (o *outline) scalar() (any, error) {
	if err := o.count(); err != nil {
		return nil, err
	}
	if o.decoder.PeekKind() == '0' {
		return o.number()
	}
	token, err := o.decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '"':
		return "", nil
	case 't':
		return true, nil
	case 'f':
		return false, nil
	}
	return nil, nil //nolint:nilnil // JSON's null
}

// number reads a number. One that exceeds every float64 is refused, in free-form JSON too.
func (o *outline) number() (any, error) {
	text, err := o.decoder.ReadValue()
	if err != nil {
		return nil, err
	}
	if len(text) == 1 {
		return digits[text[0]-'0'], nil
	}
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, InvalidField(fieldOf(o.decoder.StackPointer()), "has an unexpected type or value")
	}
	return n, nil
}

// digits are the numbers of one digit: converting one to an interface allocates nothing.
var digits = [10]any{0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0}
