package manifest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

var errXML = errors.New("invalid or unsupported XML")

// decodeXML decodes a document to an object with the name of the root element. An element with only text becomes a string;
// any other becomes an object of its child elements, its attributes as @name, and its text as #text. Child elements of the
// same name become a list. Namespaces and prefixes are dropped. Entities that the document declares are an error.
func decodeXML(data []byte) (any, error) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	decoder.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		if utf8.Valid(data) { // it was decoded by its content type or byte-order mark
			return input, nil
		}
		named, err := htmlindex.Get(charset)
		if err != nil {
			return nil, errXML
		}
		return named.NewDecoder().Reader(input), nil
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

// addElement adds a child element. The value of an element is never a list, so that a list always holds several elements.
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
