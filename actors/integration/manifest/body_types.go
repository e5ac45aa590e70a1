package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

const multipartType = "multipart/form-data"

// encodeAs encodes a JSON value as the content type of its request: as JSON if that is JSON or not given; a string as it is; an object as
// a form or as the parts of a multipart form.
func (b *body) encodeAs(value any, contentType string) (content, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "" || isJSON(media):
		data, err := encodeJSON(value)
		return bytesOf(data, jsonType), err
	case err != nil:
		return content{}, errors.New("cannot be sent: the header Content-Type is not a media type")
	}
	switch v := value.(type) {
	case string:
		return encodeText(v, contentType, parameters["charset"])
	case map[string]any:
		switch media {
		case formType:
			data, err := b.encodeForm(v)
			return bytesOf(data, contentType), err
		case multipartType:
			return encodeFields(v)
		}
	}
	return content{}, fmt.Errorf("must be a string to be sent as %s", media)
}

// isJSON reports whether a media type is JSON (RFC 8259, RFC 6839 §3.1).
func isJSON(media string) bool {
	return media == jsonType || media == "text/json" || strings.HasSuffix(media, "+json")
}

// encodeText encodes a text in the charset of its content type; UTF-8 if that names none.
func encodeText(text, contentType, charset string) (content, error) {
	if charset == "" || strings.EqualFold(charset, "utf-8") {
		return bytesOf([]byte(text), contentType), nil
	}
	named, err := htmlindex.Get(charset)
	if err != nil {
		return content{}, fmt.Errorf("cannot be sent: the charset %q is not known", charset)
	}
	data, err := named.NewEncoder().String(text)
	if err != nil {
		return content{}, fmt.Errorf("has characters that the charset %q does not have", charset)
	}
	return bytesOf([]byte(data), contentType), nil
}

// encodeFields encodes an object as multipart/form-data (RFC 7578): a scalar as a text, a list as parts of the same name, and an object as
// JSON. Nulls are omitted.
func encodeFields(object map[string]any) (content, error) {
	var buffer bytes.Buffer
	writer := multipart.NewWriter(&buffer)
	for name, item := range formFields(object) {
		header := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + quoted.Replace(name) + `"`}}
		text, err := scalarText(item)
		if err != nil {
			data, err := encodeJSON(item)
			if err != nil {
				return content{}, err
			}
			text = string(data)
			header.Set("Content-Type", jsonType)
		}
		w, err := writer.CreatePart(header)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			return content{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return content{}, fmt.Errorf("writing parts: %w", err)
	}
	made := bytesOf(buffer.Bytes(), writer.FormDataContentType())
	made.ownType = true
	return made, nil
}
