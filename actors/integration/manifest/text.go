package manifest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// decoded is the body of a response for expressions.
type decoded struct {
	// value is a JSON value, a text, base64 of anything else, or nil if the body is empty.
	value any
	// base64 means that value is base64.
	base64 bool
	// err means that the body is a text that cannot be decoded. value is nil then.
	err error
}

// decode decodes the body of a response for the action's expressions.
func (a *Action) decode(answer Answer) decoded {
	if a.xml {
		text, err := textOf(answer)
		if err != nil {
			text = answer.Body // the document itself may name its charset
		}
		if value, err := decodeXML(text); err == nil {
			return decoded{value: value}
		}
	}
	return decode(answer)
}

// decode decodes a body by its content type: JSON, also of another type if it is an object or a list; a text, whose charset is decoded;
// base64 of anything else. A body without a content type, or of the type of unknown content, is a text if it is UTF-8.
func decode(answer Answer) decoded {
	if len(bytes.TrimSpace(answer.Body)) == 0 {
		return decoded{}
	}
	media, _ := mediaType(answer)
	text, err := textOf(answer)
	trimmed := bytes.TrimSpace(text)
	if err == nil && len(trimmed) > 0 && (strings.Contains(media, "json") || trimmed[0] == '{' || trimmed[0] == '[') {
		if value, err := decodeJSON(trimmed); err == nil {
			return decoded{value: value}
		}
	}
	unknown := slices.Contains([]string{"", bytesType, "binary/octet-stream"}, media)
	switch {
	case unknown && utf8.Valid(answer.Body):
		return decoded{value: string(text)}
	case !isText(media):
		return decoded{value: base64.StdEncoding.EncodeToString(answer.Body), base64: true}
	case err != nil:
		return decoded{err: err}
	case len(trimmed) == 0:
		return decoded{}
	}
	return decoded{value: string(text)}
}

// mediaType returns the media type of a response in lower case, and its parameters. A field value that is not quite a media type
// (RFC 9110 §8.3.1) is read as far as it goes.
func mediaType(answer Answer) (media string, parameters map[string]string) {
	value := answer.Header.Get("Content-Type")
	media, parameters, err := mime.ParseMediaType(value)
	if err != nil && media == "" {
		media, _, _ = strings.Cut(value, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	return media, parameters
}

// isText reports whether the content of a media type is text.
func isText(media string) bool {
	if strings.HasPrefix(media, "text/") || isJSON(media) || strings.HasSuffix(media, "+xml") || strings.HasSuffix(media, "+yaml") {
		return true
	}
	return slices.Contains([]string{
		"application/xml", formType, "application/javascript", "application/x-javascript", "application/ecmascript", "application/yaml",
		"application/x-yaml", "application/graphql", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq",
		"application/x-sh", "application/sql", "application/toml", "application/csv", "application/rtf", "application/jwt", "application/jose",
		"application/x-pem-file", "application/xml-dtd", "message/rfc822",
	}, media)
}

// textOf returns a body as UTF-8 without a byte-order mark. What says the encoding is, in this order, a byte-order mark, the charset of
// the content type, and for JSON the pattern of its first bytes; otherwise it must be UTF-8. JSON that is UTF-8 is so whatever the charset
// says (RFC 8259 §8.1 and §11).
func textOf(answer Answer) ([]byte, error) {
	data := answer.Body
	media, parameters := mediaType(answer)
	if marked, ok := byMark(data); ok {
		return decodeCharset(data, marked, "of the byte-order mark")
	}
	charset := strings.ToLower(strings.TrimSpace(parameters["charset"]))
	if utf8.Valid(data) && (strings.Contains(media, "json") && bytes.IndexByte(data, 0) < 0 || charset == "") && !startsAsUTF16(data) {
		return data, nil
	}
	switch charset {
	case "", "utf-8", "utf8":
	default:
		named, err := charsetNamed(charset)
		if err != nil {
			return nil, err
		}
		return decodeCharset(data, named, charset)
	}
	if strings.Contains(media, "json") && startsAsUTF16(data) {
		return decodeCharset(data, utf16Of(data[0] == 0), "UTF-16")
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("the response is text that is not UTF-8, and its content type names no other charset")
	}
	return data, nil
}

// startsAsUTF16 reports whether JSON begins as UTF-16 without a byte-order mark: its first two characters are ASCII.
func startsAsUTF16(data []byte) bool {
	return len(data) >= 4 && (data[0] == 0 && data[1] != 0 && data[2] == 0 && data[3] != 0 || data[0] != 0 && data[1] == 0 && data[2] != 0 && data[3] == 0)
}

func utf16Of(big bool) encoding.Encoding {
	order := unicode.LittleEndian
	if big {
		order = unicode.BigEndian
	}
	return unicode.UTF16(order, unicode.UseBOM)
}

// byMark returns the encoding that a byte-order mark says.
func byMark(data []byte) (encoding.Encoding, bool) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return unicode.UTF8BOM, true
	case bytes.HasPrefix(data, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(data, []byte("\x00\x00\xfe\xff")):
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM), true
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return utf16Of(true), true
	}
	return nil, false
}

// charsetNamed returns the encoding of a name. UTF-16 without a byte-order mark is big-endian (RFC 2781 §4.3).
func charsetNamed(name string) (encoding.Encoding, error) {
	switch name {
	case "utf-16", "utf-16be":
		return utf16Of(true), nil
	case "utf-32", "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM), nil
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM), nil
	}
	named, err := htmlindex.Get(name)
	if err != nil {
		return nil, fmt.Errorf("the response is in the charset %q, which is not known", name[:min(len(name), 40)])
	}
	return named, nil
}

// replacement is U+FFFD, by which decoders replace what they cannot decode.
var replacement = []byte("\uFFFD")

// decodeCharset decodes data. Bytes that the charset does not have are an error.
func decodeCharset(data []byte, from encoding.Encoding, name string) ([]byte, error) {
	text, err := from.NewDecoder().Bytes(data)
	if err != nil || bytes.Contains(text, replacement) && !bytes.Contains(data, replacement) {
		return nil, fmt.Errorf("the response is not text in its charset %q", name[:min(len(name), 40)])
	}
	return text, nil
}
