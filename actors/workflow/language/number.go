package language

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// MaxNumber bounds the text of one number, in characters.
const MaxNumber = 400

// maxScale bounds the exponent of a number that float64 rounds to zero: what computes exactly would write out its digits.
const maxScale = 500

var (
	integerPattern = regexp.MustCompile(`^[-+]?[0-9]+$`)
	radixPattern   = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
	floatPattern   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
)

// isNumber reports whether a plain scalar of YAML 1.2 is a number of the core schema. Every number of JSON is one.
func isNumber(text string) bool {
	return integerPattern.MatchString(text) || radixPattern.MatchString(text) || floatPattern.MatchString(text)
}

// Number returns a number in the form that expressions use: int, *big.Int for integers that do not fit, float64, and
// json.Number for decimals that float64 would change, such as 1234567890123456.789. An expression keeps such a decimal as
// it is until it computes with it; a computation has the precision of float64.
//
// A number whose magnitude exceeds float64 (RFC 8259 §6), whose exponent is below -maxScale, or whose text is longer than MaxNumber, is an error that
// quotes it.
func Number(text string) (any, error) {
	if len(text) > MaxNumber {
		return nil, fmt.Errorf("the number %s… has more than %d characters", text[:20], MaxNumber)
	}
	if !floatPattern.MatchString(text) || integerPattern.MatchString(text) {
		base := 10
		if radixPattern.MatchString(text) {
			base = 0
		}
		whole, ok := new(big.Int).SetString(strings.TrimPrefix(text, "+"), base)
		if !ok {
			return nil, fmt.Errorf("%.40q is not a number", text)
		}
		return Integer(whole), nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(value, 0) || value == 0 && decimalOf(text).exponent < -maxScale {
		return nil, fmt.Errorf("the number %.40s is out of range", text)
	}
	if shortest := strconv.FormatFloat(value, 'g', -1, 64); decimalOf(shortest) == decimalOf(text) {
		return value, nil
	}
	return json.Number(jsonDecimal(text)), nil
}

// decimal is a decimal number: digits × 10^exponent, without zeros at either end of the digits.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// decimalOf reads a decimal that floatPattern matches. Equal numbers give equal decimals.
func decimalOf(text string) decimal {
	negative := strings.HasPrefix(text, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(strings.TrimLeft(text, "+-")), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent, err := strconv.Atoi(power)
	if err != nil {
		exponent = 0
	}
	d := decimal{negative: negative, digits: strings.TrimLeft(whole+fraction, "0"), exponent: exponent - len(fraction)}
	trimmed := strings.TrimRight(d.digits, "0")
	d.exponent += len(d.digits) - len(trimmed)
	if d.digits = trimmed; trimmed == "" {
		return decimal{}
	}
	return d
}

// jsonDecimal writes a decimal of YAML by the grammar of RFC 8259 §6, in which both sides of the point have a digit and
// nothing has a plus sign or a leading zero.
func jsonDecimal(text string) string {
	d := decimalOf(text)
	mantissa, power, scaled := strings.Cut(strings.ToLower(strings.TrimLeft(text, "+-")), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	out := whole
	if d.negative {
		out = "-" + out
	}
	if fraction != "" {
		out += "." + fraction
	}
	if scaled {
		out += "e" + power
	}
	return out
}
