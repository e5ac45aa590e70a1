package manifest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const relatedType = "multipart/related"

// part is a compiled PartSpec.
type part struct {
	name       string
	json, text *tree
	file       *file
}

// file is a compiled FileSpec.
type file struct{ name, contentType, text, base64, object *tree }

// multipart compiles the parts in the order of the file, because some providers require a certain order.
func (c *compiler) multipart(specs map[string]PartSpec, pointer string) []part {
	names := slices.SortedFunc(maps.Keys(specs), func(a, b string) int {
		left, right := c.manifest.positions[pointerTo(pointer, a)], c.manifest.positions[pointerTo(pointer, b)]
		return cmp.Or(cmp.Compare(left.keyLine, right.keyLine), cmp.Compare(left.keyColumn, right.keyColumn))
	})
	parts := make([]part, 0, len(names))
	for _, name := range names {
		spec, at := specs[name], pointerTo(pointer, name)
		p := part{name: name, json: c.tree(spec.JSON, pointerTo(at, "json")), text: c.optional(spec.Text, pointerTo(at, "text"))}
		if f := spec.File; f != nil {
			at = pointerTo(at, "file")
			p.file = &file{
				name: c.optional(f.Name, pointerTo(at, "name")), contentType: c.optional(f.ContentType, pointerTo(at, "content_type")),
				text: c.optional(f.Content, pointerTo(at, "content")), base64: c.optional(f.Base64, pointerTo(at, "base64")),
				object: c.optional(f.Object, pointerTo(at, "object")),
			}
		}
		parts = append(parts, p)
	}
	return parts
}

// encodeParts encodes a multipart body: multipart/related (RFC 2387) if related, and multipart/form-data (RFC 7578)
// otherwise. Parts that yield no value are omitted.
func encodeParts(s *scope, parts []part, related bool, objects objectFinder) (content, error) {
	var buffer bytes.Buffer
	var pieces []piece
	writer := multipart.NewWriter(&buffer)
	for _, p := range parts {
		header, body, present, err := p.encode(s, objects)
		if err != nil {
			return content{}, fmt.Errorf("part %s: %w", p.name, err)
		}
		if !present {
			continue
		}
		if related {
			header.Del("Content-Disposition")
		}
		w, err := writer.CreatePart(header)
		if err == nil && body.object == nil {
			_, err = w.Write(body.data)
		}
		if err != nil {
			return content{}, fmt.Errorf("part %s: %w", p.name, err)
		}
		if body.object != nil {
			pieces = append(pieces, piece{data: bytes.Clone(buffer.Bytes())}, body)
			buffer.Reset()
		}
	}
	if err := writer.Close(); err != nil {
		return content{}, fmt.Errorf("writing parts: %w", err)
	}
	pieces = append(pieces, piece{data: buffer.Bytes()})
	if related {
		return content{contentType: mime.FormatMediaType(relatedType, map[string]string{"boundary": writer.Boundary()}), pieces: pieces}, nil
	}
	return content{contentType: writer.FormDataContentType(), pieces: pieces}, nil
}

// encode returns the part's header and body; the bool is false if the part yields no value.
func (p *part) encode(s *scope, objects objectFinder) (textproto.MIMEHeader, piece, bool, error) {
	if p.file != nil {
		return p.file.encode(s, p.name, objects)
	}
	header := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + quoted.Replace(p.name) + `"`}}
	if p.json != nil {
		value, present, err := p.json.eval(s)
		if err != nil || !present {
			return nil, piece{}, false, err
		}
		header.Set("Content-Type", "application/json; charset=UTF-8")
		data, err := encodeJSON(value)
		return header, piece{data: data}, true, err
	}
	value, present, err := p.text.eval(s)
	if err != nil || !present {
		return nil, piece{}, false, err
	}
	text, err := scalarText(value)
	return header, piece{data: []byte(text)}, true, err
}

// quoted escapes a name within Content-Disposition as browsers do (WHATWG HTML, section 4.10.21.8).
var quoted = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22")

func (f *file) encode(s *scope, field string, objects objectFinder) (textproto.MIMEHeader, piece, bool, error) {
	body, present, err := f.content(s, objects)
	if err != nil || !present {
		return nil, piece{}, false, err
	}
	name, err := f.name.evalString(s)
	if err != nil {
		return nil, piece{}, false, err
	}
	contentType, err := f.contentType.evalString(s)
	if err != nil {
		return nil, piece{}, false, err
	}
	if o := body.object; o != nil {
		name, contentType = cmp.Or(name, o.Name), cmp.Or(contentType, o.ContentType)
	}
	contentType = cmp.Or(contentType, bytesType)
	if !httpguts.ValidHeaderFieldValue(contentType) {
		return nil, piece{}, false, errors.New("the content type is not a valid header value")
	}
	return textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="` + quoted.Replace(field) + `"; filename="` + quoted.Replace(cmp.Or(name, "file")) + `"`},
		"Content-Type":        {contentType},
	}, body, true, nil
}

// content returns the bytes or the object of the file; the bool is false if it yields neither.
func (f *file) content(s *scope, objects objectFinder) (piece, bool, error) {
	value, present, err := f.text.eval(s)
	if err != nil {
		return piece{}, false, err
	}
	if present {
		text, err := scalarText(value)
		return piece{data: []byte(text)}, true, err
	}
	if value, present, err = f.base64.eval(s); err != nil {
		return piece{}, false, err
	}
	if present {
		text, err := scalarText(value)
		if err != nil {
			return piece{}, false, err
		}
		data, err := decodeBase64(text)
		return piece{data: data}, true, err
	}
	object, err := findObject(s, f.object, objects)
	return piece{object: object}, object != nil, err
}

var errBase64 = errors.New("invalid base64")

// decodeBase64 decodes base64 of either alphabet (RFC 4648, sections 4 and 5), with or without padding; it ignores spaces and
// line breaks.
func decodeBase64(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(text)
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, errBase64
	}
	return data, nil
}
