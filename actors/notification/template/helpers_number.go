package template

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"golang.org/x/text/currency"
	rules "golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	xnumber "golang.org/x/text/number"
)

const (
	maxDecimals = 10
	// maxNumber bounds what is formatted: beyond it a float64 has no fractions, and integers are not exact.
	maxNumber = 1 << 53
)

// numeric returns a number or a text that is one.
func (c *call) numeric(helper string, value any) (float64, bool, error) {
	if absent(value) || value == "" {
		return 0, false, nil
	}
	n, ok := value.(number)
	if text, isText := value.(string); isText {
		f, err := strconv.ParseFloat(text, 64)
		if ok = err == nil && !math.IsNaN(f) && strings.Trim(text, "+-0123456789.eE") == ""; ok {
			n = number(text)
		}
	}
	if !ok {
		return 0, false, notA(helper, "a number")
	}
	f := n.float()
	if math.Abs(f) > maxNumber {
		return 0, false, errors.New(helper + " takes numbers up to 2^53")
	}
	return f, true, nil
}

func checkDecimals(x *expression, _ language.Tag) (offset int, message string) {
	decimals := option(x, "decimals")
	if decimals == nil {
		return 0, ""
	}
	if n, ok := decimals.literal.(number); !ok || !n.whole() || n.float() < 0 || n.float() > maxDecimals {
		return decimals.offset, "decimals is a constant from 0 to " + strconv.Itoa(maxDecimals)
	}
	return 0, ""
}

// formatNumber writes a number in the locale's form.
func formatNumber(c *call) (any, error) {
	f, ok, err := c.numeric("number", c.arguments[0])
	if err != nil || !ok {
		return "", err
	}
	decimals := digits(f)
	if fixed, ok := c.options["decimals"].(number); ok {
		decimals = int(fixed.float())
	}
	return c.decimal(f, decimals), nil
}

// digits is how many decimals a number has, at most maxDecimals.
func digits(f float64) int {
	_, fraction, _ := strings.Cut(strconv.FormatFloat(f, 'f', -1, 64), ".")
	return min(len(fraction), maxDecimals)
}

// decimal writes a number with a number of decimals in the locale's form.
func (c *call) decimal(f float64, decimals int) string {
	if f == 0 {
		f = 0 // not -0
	}
	return message.NewPrinter(c.locale()).Sprint(xnumber.Decimal(f, xnumber.Scale(decimals)))
}

func checkCurrency(x *expression, _ language.Tag) (offset int, message string) {
	code := x.arguments[1]
	if text, ok := constant(code); ok {
		if _, err := currency.ParseISO(text); err != nil {
			return code.offset, strconv.Quote(text) + " is not a currency (ISO 4217)"
		}
	} else if code.path == nil && code.helper == nil {
		return code.offset, "the currency is a text (ISO 4217)"
	}
	return 0, ""
}

// symbols are the signs of currencies. Every other currency is written by its code.
var symbols = map[string]string{"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}

// formatCurrency writes an amount of money: the sign before the number in English, behind it in any other language.
func formatCurrency(c *call) (any, error) {
	f, ok, err := c.numeric("currency", c.arguments[0])
	if err != nil || !ok {
		return "", err
	}
	code, _ := c.arguments[1].(string)
	unit, err := currency.ParseISO(code)
	if err != nil {
		return nil, errors.New("the second argument of currency is not a currency (ISO 4217)")
	}
	scale, _ := currency.Standard.Rounding(unit)
	sign, amount := "", c.decimal(math.Abs(f), scale)
	if f < 0 && strings.ContainsAny(amount, "123456789") {
		sign = "-"
	}
	symbol, known := symbols[unit.String()]
	if !known {
		symbol = unit.String()
	}
	base, _ := c.locale().Base()
	region, _ := c.locale().Region()
	const space = "\u00a0"
	switch {
	case base.String() == "en" && known:
		return sign + symbol + amount, nil
	case base.String() == "en", base.String() == "de" && (region.String() == "AT" || region.String() == "CH" || region.String() == "LI"):
		return sign + symbol + space + amount, nil
	}
	return sign + amount + space + symbol, nil
}

func checkPlural(x *expression, _ language.Tag) (offset int, message string) {
	if option(x, "other") == nil {
		return x.offset, "plural needs the form other"
	}
	return 0, ""
}

// pluralForms are the options of plural for the forms other than the one that it always has.
var pluralForms = map[rules.Form]string{
	rules.Zero: "zero", rules.One: "one", rules.Two: "two", rules.Few: "few", rules.Many: "many",
}

// pluralForm chooses a form by the language's plural rules (Unicode CLDR). # in the form is the number.
func pluralForm(c *call) (any, error) {
	f, ok, err := c.numeric("plural", c.arguments[0])
	if err != nil || !ok {
		return "", err
	}
	text := strconv.FormatFloat(math.Abs(f), 'f', -1, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	if len(whole) > 9 {
		whole = whole[len(whole)-9:]
	}
	if len(fraction) > 9 {
		fraction = fraction[:9]
	}
	i, _ := strconv.Atoi(whole)
	t, _ := strconv.Atoi(fraction)
	form := pluralForms[rules.Cardinal.MatchPlural(c.locale(), i, len(fraction), len(fraction), t, t)]
	value, given := c.options[form]
	if form == "" || !given {
		value = c.options["other"]
	}
	chosen, err := c.text(value)
	if err != nil {
		return nil, err
	}
	return strings.ReplaceAll(chosen, "#", c.decimal(f, digits(f))), nil
}
