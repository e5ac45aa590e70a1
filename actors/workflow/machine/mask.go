package machine

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

const (
	// minSecretLength is the length in bytes from which a secret's text is masked; shorter ones would match unrelated text.
	minSecretLength = 6
	// maxEncodedLength bounds the secrets whose encodings are masked too, in bytes.
	maxEncodedLength = 4 << 10
	// maxMasked bounds the texts that are masked; the oldest are forgotten.
	maxMasked = 1000

	masked = "***"
)

// masks replaces secret texts, and their common encodings, by ***.
type masks struct {
	// read: the secrets have been read at least once.
	read  bool
	texts []string
	// known has the texts, for numbers.
	known    map[string]bool
	replacer *strings.Replacer
}

// add records the texts and numbers in the values of secrets.
func (m *masks) add(values map[string]any) {
	m.read = true
	before := len(m.texts)
	for _, text := range secretTexts(nil, values) {
		if !m.known[text] {
			if m.known == nil {
				m.known = map[string]bool{}
			}
			m.known[text] = true
			m.texts = append(m.texts, text)
		}
	}
	if len(m.texts) == before {
		return
	}
	for len(m.texts) > maxMasked {
		delete(m.known, m.texts[0])
		m.texts = m.texts[1:]
	}
	var all []string
	for _, text := range m.texts {
		all = append(all, encodings(text)...)
	}
	// The longest first, so that a text that is part of another one leaves nothing of that.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(all))
	for _, text := range slices.Compact(all) {
		pairs = append(pairs, text, masked)
	}
	m.replacer = strings.NewReplacer(pairs...)
}

func (m *masks) empty() bool { return m.replacer == nil }

func (m *masks) text(text string) string { return m.replacer.Replace(text) }

// value masks a JSON value. It copies what it changes, and only that: the value may be part of the execution's state.
func (m *masks) value(value any) any {
	return rewrite(value, m.text, func(number any) any {
		if m.known[language.Text(number)] {
			return masked
		}
		return number
	})
}

// rewrite applies functions to the texts, the names and the numbers of a value. It copies the maps and lists in which something changes,
// and no others.
func rewrite(value any, text func(string) string, number func(any) any) any {
	switch value := value.(type) {
	case string:
		if changed := text(value); changed != value {
			return changed
		}
	case map[string]any:
		var copied map[string]any
		for key, item := range value {
			name, changed := text(key), rewrite(item, text, number)
			if name == key && same(item, changed) {
				continue
			}
			if copied == nil {
				copied = maps.Clone(value)
			}
			if name != key {
				delete(copied, key)
			}
			copied[name] = changed
		}
		if copied != nil {
			return copied
		}
	case []any:
		list := value
		for i, item := range value {
			changed := rewrite(item, text, number)
			if same(item, changed) {
				continue
			}
			if same(list, value) {
				list = slices.Clone(value)
			}
			list[i] = changed
		}
		return list
	case nil, bool:
	default:
		return number(value)
	}
	return value
}

// secretTexts appends the texts in a secret's value, and its numbers as texts.
func secretTexts(texts []string, value any) []string {
	switch value := value.(type) {
	case map[string]any:
		for _, item := range value {
			texts = secretTexts(texts, item)
		}
	case []any:
		for _, item := range value {
			texts = secretTexts(texts, item)
		}
	case nil, bool:
	default:
		if text := language.Text(value); len(text) >= minSecretLength {
			texts = append(texts, text)
		}
	}
	return texts
}

// encodings returns a secret's text and the forms in which servers commonly repeat it: base64 at each of the three
// alignments within a longer text, base32, hexadecimal, percent-encoded, escaped for JSON and HTML, and reversed.
func encodings(text string) []string {
	if len(text) > maxEncodedLength {
		return []string{text}
	}
	reversed := []rune(text)
	slices.Reverse(reversed)
	quoted, err := json.Marshal(text)
	if err != nil {
		quoted = []byte(`""`)
	}
	hexed := hex.EncodeToString([]byte(text))
	all := []string{
		text, string(reversed), hexed, strings.ToUpper(hexed), strings.ToLower(text), strings.ToUpper(text),
		url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text), strings.Trim(string(quoted), `"`),
		strings.TrimRight(base32.StdEncoding.EncodeToString([]byte(text)), "="),
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for offset := range 3 {
			all = append(all, aligned(encoding, text, offset))
		}
	}
	return slices.DeleteFunc(all, func(form string) bool { return len(form) < minSecretLength })
}

// aligned is the base64 of a text that begins offset bytes after a multiple of three, without the characters that depend
// on what is around it.
func aligned(encoding *base64.Encoding, text string, offset int) string {
	encoded := encoding.EncodeToString(append(make([]byte, offset), text...))
	first := []int{0, 2, 3}[offset]
	last := len(encoded)
	if (offset+len(text))%3 != 0 {
		last--
	}
	return encoded[first:max(first, last)]
}
