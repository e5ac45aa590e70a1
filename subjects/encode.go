package subjects

import (
	"bytes"
	"encoding/json"
)

// Encode returns the JSON of a message. Unlike encoding/json.Marshal it does not escape <, > and &, each of which would take six bytes: a
// message is not part of an HTML page, and its size counts.
func Encode(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
