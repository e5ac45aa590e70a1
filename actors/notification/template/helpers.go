package template

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// helper is a function that templates can call.
type helper struct {
	// least and most bound the positional arguments; most is negative where any number is taken. usage completes "takes …".
	least, most int
	usage       string
	// cost is how many steps a call takes, for helpers that take much longer than an element.
	cost    int
	options []string
	// mayMiss means that the arguments may be missing variables: the helper is how a template tests for them.
	mayMiss bool
	// check looks at the constant arguments. It returns an offset and a message where one is wrong.
	check func(x *expression, locale language.Tag) (offset int, message string)
	call  func(c *call) (any, error)
}

// call is one call of a helper.
type call struct {
	*evaluation

	arguments []any
	options   map[string]any
}

const (
	oneArgument  = "one argument"
	twoArguments = "two arguments"
)

// helpers are the helpers by name. It is complete before the first parse and never changes.
var helpers = map[string]*helper{
	"eq": {least: 2, most: 2, usage: twoArguments, mayMiss: true, call: func(c *call) (any, error) { return equal(c.arguments[0], c.arguments[1]), nil }},
	"ne": {least: 2, most: 2, usage: twoArguments, mayMiss: true, call: func(c *call) (any, error) { return !equal(c.arguments[0], c.arguments[1]), nil }},
	"gt": {least: 2, most: 2, usage: twoArguments, call: func(c *call) (any, error) { return c.order(1) }},
	"lt": {least: 2, most: 2, usage: twoArguments, call: func(c *call) (any, error) { return c.order(-1) }},
	"and": {least: 2, most: -1, usage: "two or more arguments", mayMiss: true, call: func(c *call) (any, error) {
		return c.choose(true), nil
	}},
	"or": {least: 2, most: -1, usage: "two or more arguments", mayMiss: true, call: func(c *call) (any, error) {
		return c.choose(false), nil
	}},
	"not": {least: 1, most: 1, usage: oneArgument, mayMiss: true, call: func(c *call) (any, error) { return empty(c.arguments[0], false), nil }},
	"default": {least: 2, most: 2, usage: "a value and what replaces an absent one", mayMiss: true, call: func(c *call) (any, error) {
		if value := c.arguments[0]; !absent(value) && value != "" {
			return value, nil
		}
		return c.arguments[1], nil
	}},
	"upper":      {least: 1, most: 1, usage: oneArgument, cost: 10, call: func(c *call) (any, error) { return c.mapped(cases.Upper(c.locale()).String) }},
	"lower":      {least: 1, most: 1, usage: oneArgument, cost: 10, call: func(c *call) (any, error) { return c.mapped(cases.Lower(c.locale()).String) }},
	"capitalize": {least: 1, most: 1, usage: oneArgument, cost: 10, call: func(c *call) (any, error) { return c.mapped(c.capitalized) }},
	"truncate":   {least: 2, most: 2, usage: "a text and a number of characters", check: checkTruncate, call: truncate},
	"url-encode": {least: 1, most: 1, usage: oneArgument, call: func(c *call) (any, error) { return c.mapped(encodeURI) }},
	"json":       {least: 1, most: 1, usage: oneArgument, call: func(c *call) (any, error) { return c.json(c.arguments[0]) }},
	"number":     {least: 1, most: 1, usage: oneArgument, cost: 50, options: []string{"decimals"}, check: checkDecimals, call: formatNumber},
	"currency":   {least: 2, most: 2, usage: "an amount and an ISO 4217 code", cost: 50, check: checkCurrency, call: formatCurrency},
	"plural": {
		least: 1, most: 1, usage: "a number", cost: 50, options: []string{"zero", "one", "two", "few", "many", "other"}, check: checkPlural, call: pluralForm,
	},
	"date": {least: 1, most: 1, usage: "a date", cost: 100, options: []string{"format", "zone"}, check: checkDate, call: formatDate},
}

// help evaluates the arguments of a helper and calls it.
func (e *evaluation) help(x *expression, f *frame) (any, error) {
	if err := e.env.Budget.Step(x.helper.cost); err != nil {
		return nil, err
	}
	c := &call{evaluation: e, arguments: make([]any, len(x.arguments)), options: make(map[string]any, len(x.hash))}
	for i, argument := range x.arguments {
		value, err := e.value(argument, f, x.helper.mayMiss)
		if err != nil {
			return nil, err
		}
		if err := e.read(value); err != nil {
			return nil, err
		}
		c.arguments[i] = value
	}
	for _, option := range x.hash {
		value, err := e.value(option.value, f, false)
		if err != nil {
			return nil, err
		}
		if err := e.read(value); err != nil {
			return nil, err
		}
		c.options[option.name] = value
	}
	return x.helper.call(c)
}

// read takes steps for a text or a number that a helper reads.
func (e *evaluation) read(value any) error {
	switch v := value.(type) {
	case string:
		return e.env.Budget.Step(len(v) / 16)
	case number:
		return e.env.Budget.Step(len(v) / 16)
	}
	return nil
}

// locale is the locale that texts are written in: the reader's where it has the template's language, else the template's.
func (e *evaluation) locale() language.Tag {
	own := e.template.options.Locale
	ours, _ := own.Base()
	if theirs, _ := e.env.Locale.Base(); theirs == ours && e.env.Locale != language.Und {
		return e.env.Locale
	}
	return own
}

// equal compares two values: numbers by value, an absent value equals another absent one.
func equal(a, b any) bool {
	if absent(a) || absent(b) {
		return absent(a) && absent(b)
	}
	left, first := a.(number)
	right, second := b.(number)
	if first && second {
		if left.whole() && right.whole() {
			return left.String() == right.String()
		}
		return left.float() == right.float()
	}
	return same(a, b)
}

// order reports whether the first argument compares to the second as sign says. An absent value compares to nothing.
func (c *call) order(sign int) (any, error) {
	a, b := c.arguments[0], c.arguments[1]
	if absent(a) || absent(b) {
		return false, nil
	}
	if left, ok := a.(number); ok {
		if right, ok := b.(number); ok {
			return compare(left.float(), right.float()) == sign, nil
		}
	}
	if left, ok := a.(string); ok {
		if right, ok := b.(string); ok {
			return strings.Compare(left, right) == sign, nil
		}
	}
	return nil, errors.New("gt and lt compare two numbers or two texts")
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// choose returns the first argument that fails as a condition, or that holds, or else the last.
func (c *call) choose(holds bool) any {
	for _, value := range c.arguments {
		if empty(value, false) == holds {
			return value
		}
	}
	return c.arguments[len(c.arguments)-1]
}

// mapped applies f to the text of the argument.
func (c *call) mapped(f func(string) string) (any, error) {
	text, err := c.text(c.arguments[0])
	if err != nil {
		return nil, err
	}
	return f(text), nil
}

func (c *call) capitalized(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if !unicode.IsLetter(first) {
		return text
	}
	return cases.Upper(c.locale()).String(text[:size]) + text[size:]
}

// unescapes turn what url.QueryEscape writes into what encodeURIComponent does.
var unescapes = strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*")

// encodeURI is JavaScript's encodeURIComponent (ECMA-262 §19.2.6.4).
func encodeURI(text string) string { return unescapes.Replace(url.QueryEscape(text)) }

func checkTruncate(x *expression, _ language.Tag) (offset int, message string) {
	length := x.arguments[1]
	if size, ok := length.literal.(number); !ok || !size.whole() || size.float() < 1 || size.float() > 10000 {
		return length.offset, "truncate takes a number of characters from 1 to 10000 as a constant"
	}
	return 0, ""
}

// truncate cuts a text to a number of code points, the last of which is then an ellipsis.
func truncate(c *call) (any, error) {
	text, err := c.text(c.arguments[0])
	if err != nil {
		return nil, err
	}
	most, count, end := int(c.arguments[1].(number).float()), 0, 0
	for i := range text {
		if count++; count == most {
			end = i
		}
		if count > most {
			return strings.TrimRightFunc(text[:end], unicode.IsSpace) + "…", nil
		}
	}
	return text, nil
}

// constant returns the text of a constant argument; "" and false if it is another expression.
func constant(x *expression) (string, bool) {
	if x.path != nil || x.helper != nil {
		return "", false
	}
	text, ok := x.literal.(string)
	return text, ok
}

// option returns an option of a call that must be a constant.
func option(x *expression, name string) *expression {
	for _, h := range x.hash {
		if h.name == name {
			return h.value
		}
	}
	return nil
}

// notA is the error of an argument of a wrong kind.
func notA(helper, kind string) error {
	return fmt.Errorf("%s takes %s, and the value is none", helper, kind)
}
