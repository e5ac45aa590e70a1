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

type file struct{ name, contentType, content, base64, object *tree }

// multipart compiles the parts in the order in which the file has them: some providers take the metadata first alone.
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
				content: c.optional(f.Content, pointerTo(at, "content")), base64: c.optional(f.Base64, pointerTo(at, "base64")),
				object: c.optional(f.Object, pointerTo(at, "object")),
			}
		}
		parts = append(parts, p)
	}
	return parts
}

// encodeParts is a multipart body with its content type; a part that yields nothing is left out.
func encodeParts(s *scope, parts []part, related bool, objects func(string) ([]byte, error)) ([]byte, string, error) {
	var buffer bytes.Buffer
	writer := multipart.NewWriter(&buffer)
	for _, p := range parts {
		header, data, present, err := p.encode(s, objects)
		if err != nil {
			return nil, "", fmt.Errorf("part %s: %w", p.name, err)
		}
		if !present {
			continue
		}
		if related {
			header.Del("Content-Disposition")
		}
		w, err := writer.CreatePart(header)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			return nil, "", fmt.Errorf("part %s: %w", p.name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, "", fmt.Errorf("writing parts: %w", err)
	}
	if related {
		return buffer.Bytes(), mime.FormatMediaType(relatedType, map[string]string{"boundary": writer.Boundary()}), nil
	}
	return buffer.Bytes(), writer.FormDataContentType(), nil
}

func (p *part) encode(s *scope, objects func(string) ([]byte, error)) (textproto.MIMEHeader, []byte, bool, error) {
	if p.file != nil {
		return p.file.encode(s, p.name, objects)
	}
	header := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + quoted.Replace(p.name) + `"`}}
	if p.json != nil {
		value, present, err := p.json.eval(s)
		if err != nil || !present {
			return nil, nil, false, err
		}
		header.Set("Content-Type", "application/json; charset=UTF-8")
		data, err := encodeJSON(value)
		return header, data, true, err
	}
	value, present, err := p.text.eval(s)
	if err != nil || !present {
		return nil, nil, false, err
	}
	text, err := scalarText(value)
	return header, []byte(text), true, err
}

// quoted is how browsers put a name into a Content-Disposition (WHATWG HTML, multipart/form-data).
var quoted = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22")

func (f *file) encode(s *scope, field string, objects func(string) ([]byte, error)) (textproto.MIMEHeader, []byte, bool, error) {
	data, present, err := f.bytes(s, objects)
	if err != nil || !present {
		return nil, nil, false, err
	}
	name, err := f.name.evalString(s)
	if err != nil {
		return nil, nil, false, err
	}
	contentType, err := f.contentType.evalString(s)
	if err != nil {
		return nil, nil, false, err
	}
	contentType = cmp.Or(contentType, "application/octet-stream")
	if !httpguts.ValidHeaderFieldValue(contentType) {
		return nil, nil, false, errors.New("the content type cannot be sent")
	}
	return textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="` + quoted.Replace(field) + `"; filename="` + quoted.Replace(cmp.Or(name, "file")) + `"`},
		"Content-Type":        {contentType},
	}, data, true, nil
}

func (f *file) bytes(s *scope, objects func(string) ([]byte, error)) ([]byte, bool, error) {
	value, present, err := f.content.eval(s)
	if err != nil {
		return nil, false, err
	}
	if present {
		text, err := scalarText(value)
		return []byte(text), true, err
	}
	if value, present, err = f.base64.eval(s); err != nil {
		return nil, false, err
	}
	if present {
		text, err := scalarText(value)
		if err != nil {
			return nil, false, err
		}
		data, err := decodeBase64(text)
		return data, true, err
	}
	return readObject(s, f.object, objects)
}

var errBase64 = errors.New("not base64")

// decodeBase64 reads base64 of either alphabet, with or without padding; white space is passed over.
func decodeBase64(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(text)
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, errBase64
	}
	return data, nil
}

var errNoObjects = errors.New("there is no object store here")

// readObject reads the object whose key the expression yields.
func readObject(s *scope, key *tree, objects func(string) ([]byte, error)) (data []byte, present bool, err error) {
	name, err := key.evalString(s)
	if err != nil || name == "" {
		return nil, false, err
	}
	if objects == nil {
		return nil, false, errNoObjects
	}
	data, err = objects(name)
	return data, err == nil, err
}
