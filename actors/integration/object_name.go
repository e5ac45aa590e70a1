package integration

import (
	"cmp"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
)

// maxDisposition bounds a header field from which a file name is read.
const maxDisposition = 8 << 10

// dispositionName returns the file name of a response, as RFC 6266 §4 says: filename* before filename. It also reads what servers send
// that is not quite of its grammar: values with spaces or delimiters that are not quoted, other charsets than UTF-8, names in several
// parts (RFC 2231 §3), and encoded words (RFC 2047). It returns "" if there is no name.
func dispositionName(header http.Header) string {
	for _, value := range header.Values("Content-Disposition") {
		if len(value) > maxDisposition {
			continue
		}
		parameters := dispositionParameters(value)
		extended, ok := extendedValue(parameters["filename*"])
		if !ok {
			extended = ""
		}
		if name := cmp.Or(sanitizeName(extended), sanitizeName(continued(parameters)), sanitizeName(legacyText(parameters["filename"]))); name != "" {
			return name
		}
	}
	return ""
}

// dispositionParameters returns the parameters of a field value by their names in lower case. Of a repeated one the first counts.
func dispositionParameters(value string) map[string]string {
	parameters := map[string]string{}
	for value != "" {
		name, rest, found := strings.Cut(value, "=")
		if i := strings.LastIndexByte(name, ';'); i >= 0 {
			name = name[i+1:]
		}
		if !found {
			return parameters
		}
		var text string
		rest = strings.TrimLeft(rest, " \t")
		if strings.HasPrefix(rest, `"`) {
			text, value = quotedString(rest[1:])
		} else {
			text, value, _ = strings.Cut(rest, ";")
			text, value = strings.TrimSpace(text), ";"+value
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if _, known := parameters[name]; !known {
			parameters[name] = text
		}
		if value == ";" {
			return parameters
		}
	}
	return parameters
}

// quotedString reads up to the closing quotation mark. A backslash quotes a quotation mark or a backslash; before anything else it stands
// for itself, as in a Windows path.
func quotedString(text string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:]
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}

// extendedValue decodes charset'language'value (RFC 8187 §3.2); ok is false if that is not possible. Without a charset it is UTF-8.
func extendedValue(text string) (value string, ok bool) {
	charset := "utf-8"
	if parts := strings.SplitN(text, "'", 3); len(parts) == 3 {
		charset, text = cmp.Or(strings.ToLower(parts[0]), charset), parts[2]
	}
	decoded, err := url.PathUnescape(text)
	if err != nil || text == "" {
		return "", false
	}
	if charset == "utf-8" {
		return decoded, utf8.ValidString(decoded)
	}
	named, err := htmlindex.Get(charset)
	if err != nil {
		return "", false
	}
	decoded, err = named.NewDecoder().String(decoded)
	return decoded, err == nil
}

// continued joins filename*0, filename*1 and so on, of which those that end in * are encoded (RFC 2231 §3 and §4.1).
func continued(parameters map[string]string) string {
	charset, joined := "", ""
	for i := 0; ; i++ {
		part, plain := parameters[fmt.Sprintf("filename*%d", i)]
		encoded, extended := parameters[fmt.Sprintf("filename*%d*", i)]
		switch {
		case extended && i == 0:
			pieces := strings.SplitN(encoded, "'", 3)
			if len(pieces) == 3 {
				charset, encoded = pieces[0], pieces[2]
			}
			joined = encoded
		case extended:
			joined += encoded
		case plain:
			joined += url.PathEscape(part)
		default:
			name, _ := extendedValue(charset + "''" + joined)
			return name
		}
	}
}

// legacyText decodes the words of RFC 2047 in a text, and takes one that is not UTF-8 for ISO-8859-1.
func legacyText(text string) string {
	if !utf8.ValidString(text) {
		if decoded, err := charmap.Windows1252.NewDecoder().String(text); err == nil {
			text = decoded
		}
	}
	words := mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
		named, err := htmlindex.Get(charset)
		if err != nil {
			return nil, fmt.Errorf("finding a charset: %w", err)
		}
		return named.NewDecoder().Reader(input), nil
	}}
	if decoded, err := words.DecodeHeader(text); err == nil {
		return decoded
	}
	return text
}

// sanitizeName removes from a file name directories, control characters, and those that reverse the direction of what follows, by which
// one type of file can look like another. It may return "".
func sanitizeName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "")))
	if name == "." || name == ".." {
		return ""
	}
	if runes := []rune(name); len(runes) > maxObjectText {
		name = string(runes[:maxObjectText])
	}
	return name
}
