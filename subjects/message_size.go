package subjects

import (
	"bytes"
	"cmp"
	"regexp"

	"github.com/danielgtaylor/huma/v2"
)

// The bounds of the size of an endpoint's requests, in bytes.
const (
	// MinMessage is that of the smallest requests.
	MinMessage = 8 << 10
	// MaxMessage is that of requests with free-form content: the payload of a message of NATS.
	MaxMessage = 1 << 20
)

// MessageLimit is how many bytes a request message may have: MaxMessage of the endpoint or, if that is 0, of all.
func (d *Descriptor) MessageLimit() int64 { return cmp.Or(d.MaxMessage, MaxMessage) }

// CheckSize returns CodeTooLarge for a request message with more bytes than MessageLimit.
func (d *Descriptor) CheckSize(size int) error {
	if limit := d.MessageLimit(); int64(size) > limit {
		return Errorf(CodeTooLarge, "the message has %d bytes; %s takes at most %d", size, d.Name(), limit)
	}
	return nil
}

// DecodedSize estimates how many bytes a message takes as a tree of values, from above: most take less. It looks at the number of
// certain bytes alone, and so takes a fraction of the time of decoding.
func (d *Descriptor) DecodedSize(data []byte) int64 {
	// The parts of a tree of Go values: an object with its first member, an array, an element, a member's name and value.
	object, array, element, member := 300, 40, 48, 64
	lines := 0
	if d.Body.Kind == BodyJSONOrYAML {
		// The nodes of a YAML document: https://pkg.go.dev/go.yaml.in/yaml/v3#Node
		element, member, lines = 256, 256, 256
	}
	size := 2*len(data) + object*bytes.Count(data, []byte{'{'}) + array*bytes.Count(data, []byte{'['}) +
		element*bytes.Count(data, []byte{','}) + member*bytes.Count(data, []byte{':'})
	if lines > 0 {
		size += lines * bytes.Count(data, []byte(`\n`))
	}
	return int64(size)
}

// maxMessageOf derives how many bytes a message of a schema may take, from the lengths that its schema allows; no more than limit,
// which is also that of a schema with free-form JSON, or with texts or lists of any length.
func maxMessageOf(s *huma.Schema, limit int64) int64 {
	s = resolve(s)
	switch s.Type {
	case huma.TypeBoolean, huma.TypeInteger, huma.TypeNumber:
		return 32
	case huma.TypeString:
		return maxStringOf(s, limit)
	case huma.TypeArray:
		if s.MaxItems == nil || s.Items == nil {
			return limit
		}
		return min(limit, int64(*s.MaxItems)*(1+maxMessageOf(s.Items, limit)))
	case huma.TypeObject:
		if allowed, is := s.AdditionalProperties.(bool); !is || allowed {
			return limit
		}
		size := int64(2)
		for name, property := range s.Properties {
			size += int64(len(name)) + 4 + maxMessageOf(property, limit)
		}
		return min(size, limit)
	}
	return limit
}

// escapedCharacter is the length of a character's longest form in JSON, a pair of \u escapes.
const escapedCharacter = 12

// maxPatternText is assumed to be the longest text that a pattern without unbounded repetition matches.
const maxPatternText = 256

// unbounded finds an unbounded repetition in a pattern.
var unbounded = regexp.MustCompile(`[*+]|,}`)

func maxStringOf(s *huma.Schema, limit int64) int64 {
	longest := 0
	for _, value := range s.Enum {
		text, _ := value.(string)
		longest = max(longest, len(text))
	}
	switch {
	case s.MaxLength != nil:
		return min(limit, int64(*s.MaxLength)*escapedCharacter+2)
	case len(s.Enum) > 0:
		return int64(longest)*escapedCharacter + 2
	case s.Pattern != "" && !unbounded.MatchString(s.Pattern):
		return maxPatternText * escapedCharacter
	case s.Format == "uuid" || s.Format == "date-time" || s.Format == "date" || s.Format == "ipv4" || s.Format == "ipv6":
		return 64 * escapedCharacter
	}
	return limit
}
