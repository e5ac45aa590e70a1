package language

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// MaxDuration bounds every duration of a definition to ten years.
const MaxDuration = 10 * 366 * 24 * time.Hour

var isoDuration = regexp.MustCompile(`^P(?:(\d+(?:\.\d+)?)Y)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?` +
	`(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)

// A year is 365 days and a month 30 days, as a duration has no calendar.
var isoUnits = [...]time.Duration{365 * day, 30 * day, 7 * day, day, time.Hour, time.Minute, time.Second}

const day = 24 * time.Hour

// Duration is a length of time, or an expression that yields one: ISO 8601 text or an object of units.
type Duration struct {
	Value      time.Duration
	Expression string
}

// ParseDuration parses an ISO 8601 duration such as PT30S or P1DT12H, from 0 to MaxDuration.
func ParseDuration(text string) (time.Duration, error) {
	match := isoDuration.FindStringSubmatch(text)
	if match == nil || text[len(text)-1] == 'P' || text[len(text)-1] == 'T' {
		return 0, fmt.Errorf("%.40q is not an ISO 8601 duration", text)
	}
	var total float64
	for i, unit := range isoUnits {
		if match[i+1] == "" {
			continue
		}
		count, err := strconv.ParseFloat(match[i+1], 64)
		if err != nil {
			return 0, fmt.Errorf("reading the duration %.40q: %w", text, err)
		}
		total += count * float64(unit)
	}
	return boundDuration(total)
}

// DurationOf converts the result of a duration expression: ISO 8601 text, or an object of days, hours, minutes, seconds
// and milliseconds.
func DurationOf(value any) (time.Duration, error) {
	switch value := value.(type) {
	case string:
		return ParseDuration(value)
	case map[string]any:
		return durationOfUnits(value)
	}
	return 0, errors.New("a duration must be ISO 8601 text or an object of units")
}

func durationOfUnits(parts map[string]any) (time.Duration, error) {
	names := map[string]time.Duration{"days": day, "hours": time.Hour, "minutes": time.Minute,
		"seconds": time.Second, "milliseconds": time.Millisecond}
	if len(parts) == 0 {
		return 0, fmt.Errorf("a duration needs at least one unit")
	}
	var total float64
	for name, count := range parts {
		unit, known := names[name]
		number, isNumber := asFloat(count)
		if !known || !isNumber || number < 0 {
			return 0, fmt.Errorf("%.40q is not a unit with a non-negative number", name)
		}
		total += number * float64(unit)
	}
	return boundDuration(total)
}

func boundDuration(total float64) (time.Duration, error) {
	if total > float64(MaxDuration) {
		return 0, fmt.Errorf("the duration is longer than ten years")
	}
	return time.Duration(total), nil
}

func asFloat(value any) (float64, bool) {
	switch value := value.(type) {
	case int:
		return float64(value), true
	case float64:
		return value, true
	case json.Number:
		number, err := value.Float64()
		return number, err == nil
	}
	return 0, false
}

func (o *object) duration(key string) *Duration {
	f, ok := o.take(key)
	if !ok {
		return nil
	}
	return f.duration()
}

func (f field) duration() *Duration {
	if text, ok := f.text(); ok && IsExpression(text) {
		f.checkExpression(text)
		return &Duration{Expression: text}
	}
	value, err := DurationOf(f.value())
	if err != nil {
		f.fault(CodeValue, err.Error())
	}
	return &Duration{Value: value}
}
