package subjects

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Optional tells a field that was left out from one that was sent as null, for PATCH (RFC 7396).
// Tag such a field `omitzero`.
type Optional[T any] struct {
	// Set is true where the field was present, null included.
	Set bool
	// Null is true where the field was sent as null.
	Null bool
	// Value is the value where it was neither left out nor null.
	Value T
}

// Some makes a present value.
func Some[T any](v T) Optional[T] { return Optional[T]{Set: true, Value: v} }

// IsZero tells encoding/json's omitzero to leave an absent field out.
func (o Optional[T]) IsZero() bool { return !o.Set }

// Get returns the value and whether there is one.
func (o Optional[T]) Get() (T, bool) { return o.Value, o.Set && !o.Null }

// MarshalJSON implements json.Marshaler.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Set || o.Null {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON implements json.Unmarshaler; it is called only for a field that is present.
func (o *Optional[T]) UnmarshalJSON(data []byte) error {
	*o = Optional[T]{Set: true}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		o.Null = true
		return nil
	}
	return json.Unmarshal(data, &o.Value)
}

// Schema implements huma.SchemaProvider: T's schema, nullable.
func (o Optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = true
	return s
}
