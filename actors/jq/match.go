package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/weftmesh/weft/actors/pattern"
)

// match is the function behind test, match, capture, scan, split, sub and the others: input, pattern, flags, and whether only a verdict is
// asked for. It takes steps for the length of the text times the size of the pattern, and keeps a bounded number of compiled patterns.
func match(m *meter, input any, args []any) any {
	text, isText := input.(string)
	source, isPattern := args[0].(string)
	flags, hasFlags := args[1].(string)
	if !isText || !isPattern || args[1] != nil && !hasFlags {
		return fmt.Errorf("match(%s; %s) cannot be applied to: %s", gojq.Preview(args[0]), gojq.Preview(args[1]), gojq.Preview(input))
	}
	p, err := m.pattern(source, flags)
	if err != nil {
		return err
	}
	if args[2] == true {
		matched, err := p.Match(text, &m.part)
		if err != nil {
			return err
		}
		return matched
	}
	most := 1
	if strings.ContainsRune(flags, 'g') {
		most = -1
	}
	return m.matches(p, text, most)
}

// pattern compiles a pattern with flags, and takes steps for that.
func (m *meter) pattern(source, flags string) (*pattern.Pattern, error) {
	options := ""
	for _, flag := range flags {
		switch flag {
		case 'g':
		case 'i':
			options += "i"
		case 'm': // jq's name for a dot that matches line feeds
			options += "s"
		default:
			return nil, fmt.Errorf("unsupported regular expression flag: %q", flags)
		}
	}
	if options != "" {
		source = "(?" + options + ")" + source
	}
	if err := m.part.Step(1 + len(source)/bytesPerStep); err != nil {
		return nil, err
	}
	p, known, err := m.patterns.Get(source)
	if !known {
		size := 25 * min(len(source), pattern.MaxText)
		if p != nil {
			size += 5 * p.Size()
		}
		if err := m.take(200+size, 64*size); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression %.100q: %w", source, err)
	}
	return p, nil
}

// matches are the matches of a pattern as jq describes them: offsets and lengths count characters. An empty match is one also where it
// follows another match.
func (m *meter) matches(p *pattern.Pattern, text string, most int) any {
	names := p.Groups()
	counter := characters{text: text}
	result := []any{}
	for from := 0; from <= len(text) && len(result) != most; {
		at, err := p.Find(text, from, &m.part)
		if err != nil {
			return err
		}
		if at == nil {
			break
		}
		if err := m.take(8*len(names), 512+448*(len(names)-1)); err != nil {
			return err
		}
		captures := make([]any, 0, len(names)-1)
		start := counter.count(at[0])
		for i := 1; i < len(names); i++ {
			captures = append(captures, capture(text, at[2*i], at[2*i+1], at[0], start, names[i]))
		}
		length := utf8.RuneCountInString(text[at[0]:at[1]])
		result = append(result, map[string]any{"offset": start, "length": length, "string": text[at[0]:at[1]], "captures": captures})
		if from = at[1]; at[0] == at[1] {
			_, width := utf8.DecodeRuneInString(text[from:])
			from += max(width, 1)
		}
	}
	return result
}

// capture describes a group of a match that begins at a byte and a character.
func capture(text string, from, to, matchByte, matchCharacter int, name string) any {
	var named any
	if name != "" {
		named = name
	}
	if from < 0 {
		return map[string]any{"name": named, "offset": -1, "length": 0, "string": nil}
	}
	return map[string]any{"name": named, "offset": matchCharacter + utf8.RuneCountInString(text[matchByte:from]),
		"length": utf8.RuneCountInString(text[from:to]), "string": text[from:to]}
}

// characters counts the characters before a byte; bytes are asked for in ascending order.
type characters struct {
	text        string
	at, counted int
}

func (c *characters) count(at int) int {
	c.counted += utf8.RuneCountInString(c.text[c.at:at])
	c.at = at
	return c.counted
}

// fromJSON decodes a text. Numbers keep their digits, of which there may be maxNumeral.
func fromJSON(m *meter, input any, _ []any) any {
	text, isText := input.(string)
	if !isText {
		return fmt.Errorf("fromjson cannot be applied to: %s", gojq.Preview(input))
	}
	if err := m.take(len(text)/8, 24*len(text)); err != nil {
		return err
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("fromjson cannot be applied to %s: %w", gojq.Preview(input), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("fromjson cannot be applied to: %s", gojq.Preview(input))
	}
	if hasLongNumber(value) {
		return fmt.Errorf("a number in the text has more than %d characters", maxNumeral)
	}
	return value
}

func hasLongNumber(value any) bool {
	switch value := value.(type) {
	case json.Number:
		return len(value) > maxNumeral
	case []any:
		for _, item := range value {
			if hasLongNumber(item) {
				return true
			}
		}
	case map[string]any:
		for _, item := range value {
			if hasLongNumber(item) {
				return true
			}
		}
	}
	return false
}
