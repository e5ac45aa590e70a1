package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weftmesh/weft/subjects"
)

// requestHash returns the hash by which a request is recognised under its idempotency key. It does not depend on the order of
// members, on spacing, or on how strings are escaped, also inside a raw body that is JSON: a client may encode the same request
// differently the second time. Numbers count by their digits.
func requestHash(d *subjects.Descriptor, data []byte) []byte {
	canonical := canonicalJSON(data)
	if d.Body.Kind == subjects.BodyRaw {
		canonical = canonicalJSON(withCanonicalBody(canonical, d.Body.Field))
	}
	sum := sha256.Sum256(canonical)
	return sum[:]
}

// canonicalJSON returns a JSON text with its members in order, without spacing, and with strings in their shortest form; data
// itself if it is not JSON.
func canonicalJSON(data []byte) []byte {
	value := jsontext.Value(bytes.Clone(data))
	err := value.Format(jsontext.ReorderRawObjects(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return data
	}
	return value
}

// withCanonicalBody returns a request with the JSON in its base64 field in canonical form; data itself if there is none.
func withCanonicalBody(data []byte, field string) []byte {
	var request map[string]json.RawMessage
	var body []byte
	if json.Unmarshal(data, &request) != nil || json.Unmarshal(request[field], &body) != nil {
		return data
	}
	request[field] = []byte(`"` + base64.StdEncoding.EncodeToString(canonicalJSON(body)) + `"`)
	canonical, err := json.Marshal(request)
	if err != nil {
		return data
	}
	return canonical
}
