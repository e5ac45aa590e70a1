package subjects

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Optional distinguishes an absent field from one that is null, for PATCH (JSON Merge Patch, RFC 7396). Tag such a field
// `omitzero`.
type Optional[T any] struct {
	// Set is true if the field was present, null included.
	Set bool
	// Null is true if the field was null.
	Null bool
	// Value is the field's value if it was present and not null.
	Value T
}

// Some returns an Optional that is present with the value v.
func Some[T any](v T) Optional[T] { return Optional[T]{Set: true, Value: v} }

// IsZero makes encoding/json's omitzero omit an absent field.
func (o Optional[T]) IsZero() bool { return !o.Set }

// Get returns the value, and whether the field was present and not null.
func (o Optional[T]) Get() (T, bool) { return o.Value, o.Set && !o.Null }

// MarshalJSON implements json.Marshaler.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Set || o.Null {
		return []byte("null"), nil
	}
	return Encode(o.Value)
}

// UnmarshalJSON implements json.Unmarshaler. It is called only for a field that is present.
func (o *Optional[T]) UnmarshalJSON(data []byte) error {
	*o = Optional[T]{Set: true}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		o.Null = true
		return nil
	}
	return json.Unmarshal(data, &o.Value)
}

// Schema implements huma.SchemaProvider: the schema of T, nullable.
func (o Optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = true
	return s
}
