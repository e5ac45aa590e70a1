package subjects

import (
	stdjson "encoding/json"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// timeFormat is RFC 3339 in UTC with microseconds, the precision of the databases.
const timeFormat = `"2006-01-02T15:04:05.000000Z"`

var encodeOptions = []json.Options{
	jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false),
	json.WithMarshalers(json.JoinMarshalers(
		json.MarshalToFunc(func(enc *jsontext.Encoder, at time.Time) error {
			return enc.WriteValue(at.UTC().AppendFormat(make([]byte, 0, len(timeFormat)), timeFormat))
		}),
		json.MarshalToFunc(func(enc *jsontext.Encoder, n stdjson.Number) error {
			if n == "" {
				n = "0" // as encoding/json does
			}
			return enc.WriteValue(jsontext.Value(n))
		}),
	)),
}

// Encode encodes a request, a reply, an event or a problem as JSON. It differs from encoding/json in two things: every time has
// the same precision, microseconds, and <, > and & are written as they are, not as six bytes each.
func Encode(v any) ([]byte, error) {
	data, err := json.Marshal(v, encodeOptions...)
	if err != nil {
		return nil, fmt.Errorf("encoding a message: %w", err)
	}
	return data, nil
}
