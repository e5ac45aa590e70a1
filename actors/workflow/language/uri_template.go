package language

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// URITemplate is a URI template as the DSL allows it (dsl-reference.md, URI Template): literals and simple string
// expansions (RFC 6570 §3.2.2). Variables are top-level fields of an object, by their verbatim names: {pet.id} is the field
// "pet.id".
type URITemplate struct {
	literals   []string // one more than expansions
	expansions [][]templateVariable
}

// templateVariable is one variable of an expansion; prefix bounds its value in characters, 0 means no bound.
type templateVariable struct {
	name   string
	prefix int
}

// maxPrefix bounds a prefix modifier (RFC 6570 §2.4.1).
const maxPrefix = 9999

// ParseURITemplate parses a template. Other operators than simple expansion, characters that RFC 6570 §2.1 does not allow
// outside of expansions, and embedded `${ }` are errors.
func ParseURITemplate(text string) (*URITemplate, error) {
	if strings.Contains(text, "${") {
		return nil, fmt.Errorf("%w, or {name} in the URI for a field of the input", embeddedExpression(text))
	}
	template := &URITemplate{}
	for rest := text; ; {
		literal, after, found := strings.Cut(rest, "{")
		if err := checkTemplateLiteral(literal); err != nil {
			return nil, err
		}
		template.literals = append(template.literals, literal)
		if !found {
			return template, nil
		}
		inner, next, closed := strings.Cut(after, "}")
		if !closed {
			return nil, errors.New("a { of the URI template is not closed")
		}
		variables, err := parseTemplateVariables(inner)
		if err != nil {
			return nil, err
		}
		template.expansions, rest = append(template.expansions, variables), next
	}
}

// embeddedExpression is the error of an expression that is only a part of a text. It says how the whole is written.
func embeddedExpression(text string) error {
	return fmt.Errorf("an expression must be the whole value: write %s", quoteEmbedded(text))
}

// quoteEmbedded writes a text with embedded expressions as one expression with string interpolation.
func quoteEmbedded(text string) string {
	var out strings.Builder
	out.WriteString(`${ "`)
	for {
		before, after, found := strings.Cut(text, "${")
		out.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(before))
		inner, rest, closed := strings.Cut(after, "}")
		if !found || !closed {
			break
		}
		out.WriteString(`\(` + strings.TrimSpace(inner) + `)`)
		text = rest
	}
	return Cut(out.String(), 200) + `" }`
}

// checkTemplateLiteral checks the characters outside of expansions (RFC 6570 §2.1 and its erratum 6937, which allows the
// apostrophe).
func checkTemplateLiteral(literal string) error {
	for i, r := range literal {
		switch {
		case r == '}':
			return errors.New("a } of the URI template has no {")
		case r <= ' ' || r == 0x7f || strings.ContainsRune("\"<>\\^`|", r) || r == utf8.RuneError:
			return fmt.Errorf("a URI has no %q: write it percent-encoded", r)
		case r == '%' && !isPercentEncoded(literal[i:]):
			return errors.New("a % in a URI must be followed by two hexadecimal digits: write it as %25")
		}
	}
	return nil
}

func isPercentEncoded(text string) bool {
	if len(text) < 3 {
		return false
	}
	_, err := strconv.ParseUint(text[1:3], 16, 8)
	return err == nil
}

// parseTemplateVariables parses a variable list: names, each with an optional prefix modifier (RFC 6570 §2.3, §2.4).
func parseTemplateVariables(inner string) ([]templateVariable, error) {
	if inner == "" {
		return nil, errors.New("{} of the URI template names no field")
	}
	if strings.ContainsRune("+#./;?&=,!@|", rune(inner[0])) {
		return nil, fmt.Errorf("{%.40s} is not supported: the specification allows simple expansions such as {name} only "+
			"(RFC 6570 section 3.2.2)", inner)
	}
	var variables []templateVariable
	for spec := range strings.SplitSeq(inner, ",") {
		// The explode modifier changes only lists and objects, which are no values of a template.
		name, limit, prefixed := strings.Cut(strings.TrimSuffix(spec, "*"), ":")
		variable := templateVariable{name: name}
		if number, err := strconv.Atoi(limit); prefixed && err == nil && number > 0 && number <= maxPrefix {
			variable.prefix = number
		} else if prefixed {
			variable.name = spec
		}
		if variable.name == "" || strings.ContainsAny(variable.name, "{ \t\r\n") {
			return nil, fmt.Errorf("{%.40s} of the URI template is not the name of a field", inner)
		}
		variables = append(variables, variable)
	}
	return variables, nil
}

// Variables reports whether the template has any.
func (t *URITemplate) Variables() bool { return len(t.expansions) > 0 }

// Expand expands the template with the fields of input. A field that is missing or null expands to nothing; an object or a
// list is an error, and so is a URI longer than MaxURI. All but the unreserved characters of a value are percent-encoded (RFC 6570 §3.2.2).
func (t *URITemplate) Expand(input any) (string, error) {
	fields, _ := input.(map[string]any)
	var out strings.Builder
	for i, literal := range t.literals {
		out.WriteString(encodeLiteral(literal))
		if i == len(t.expansions) {
			break
		}
		first := true
		for _, variable := range t.expansions[i] {
			value := fields[variable.name]
			switch value.(type) {
			case nil:
				continue
			case map[string]any, []any:
				return "", fmt.Errorf("the field %.60q in the URI is an object or a list: a URI template takes strings, numbers and booleans",
					variable.name)
			}
			if !first {
				out.WriteByte(',')
			}
			first = false
			text := prefixOf(Text(value), variable.prefix)
			if out.Len()+len(text) > MaxURI {
				return "", fmt.Errorf("the URI is longer than %d bytes", MaxURI)
			}
			out.WriteString(PercentEncode(text, ""))
		}
	}
	return out.String(), nil
}

func prefixOf(text string, characters int) string {
	if characters == 0 {
		return text
	}
	for i := range text {
		if characters == 0 {
			return text[:i]
		}
		characters--
	}
	return text
}

// encodeLiteral percent-encodes what a URI cannot contain as it is (RFC 6570 §3.1): characters outside of ASCII.
func encodeLiteral(literal string) string {
	return PercentEncode(literal, "%:/?#[]@!$&'()*+,;=")
}

// PercentEncode percent-encodes the bytes of a text except the unreserved characters (RFC 3986 §2.3) and those in allowed.
func PercentEncode(text, allowed string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 ||
			c < utf8.RuneSelf && strings.IndexByte(allowed, c) >= 0 {
			out.WriteByte(c)
			continue
		}
		out.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return out.String()
}

// Cut returns a text of at most limit bytes, cut after a whole character, with an ellipsis in place of the rest.
func Cut(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}

// ExpandURI evaluates a URI of the definition: an expression, or a template with the fields of input.
func (w *Workflow) ExpandURI(text string, input any, scope Scope) (string, error) {
	if IsExpression(text) {
		return w.FillText(text, input, scope)
	}
	if w.Loose {
		if value, err := w.Evaluate(text, input, scope); err == nil || isExhausted(err) {
			return Text(value), err
		}
	}
	template, err := ParseURITemplate(text)
	if err != nil {
		return "", err
	}
	return template.Expand(input)
}
