package manifest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

var errXML = errors.New("the answer is not XML that can be read")

// decodeXML is a document as an object of its root's name: an element with text alone is that text, any other an object
// of its children, its attributes as @name and its text as #text; elements of one name become a list. Names are local:
// prefixes and name spaces are dropped. Entities of the document's own are refused.
func decodeXML(data []byte) (any, error) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	decoder.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		if strings.EqualFold(charset, "us-ascii") {
			return input, nil
		}
		return nil, errXML
	}
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, errXML
		}
		if start, ok := token.(xml.StartElement); ok {
			value, err := decodeElement(decoder, start, 0)
			if err != nil {
				return nil, err
			}
			return map[string]any{start.Name.Local: value}, nil
		}
	}
}

func decodeElement(decoder *xml.Decoder, start xml.StartElement, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errXML
	}
	object, text := map[string]any{}, strings.Builder{}
	for _, attribute := range start.Attr {
		if attribute.Name.Space != "xmlns" && attribute.Name.Local != "xmlns" {
			object["@"+attribute.Name.Local] = attribute.Value
		}
	}
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, errXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			value, err := decodeElement(decoder, t, depth+1)
			if err != nil {
				return nil, err
			}
			addElement(object, t.Name.Local, value)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if len(object) == 0 {
				return text.String(), nil
			}
			if trimmed := strings.TrimSpace(text.String()); trimmed != "" {
				object["#text"] = trimmed
			}
			return object, nil
		}
	}
}

// addElement adds a child; an element's own value is never a list, so a list is what children of one name became.
func addElement(object map[string]any, name string, value any) {
	switch there := object[name].(type) {
	case nil:
		object[name] = value
	case []any:
		object[name] = append(there, value)
	default:
		object[name] = []any{there, value}
	}
}
