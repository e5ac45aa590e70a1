package template

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// The names of formats by language. Every other language has iso, iso-date, time and patterns of numbers.
var (
	english  = map[string]string{"short": "d MMM yyyy", "long": "d MMMM yyyy", "full": "EEEE, d MMMM yyyy", "time": "HH:mm", "datetime": "d MMMM yyyy, HH:mm"}
	american = map[string]string{
		"short": "MMM d, yyyy", "long": "MMMM d, yyyy", "full": "EEEE, MMMM d, yyyy", "time": "h:mm a", "datetime": "MMMM d, yyyy, h:mm a",
	}
	german = map[string]string{
		"short": "dd.MM.yyyy", "long": "d. MMMM yyyy", "full": "EEEE, d. MMMM yyyy", "time": "HH:mm", "datetime": "d. MMMM yyyy, HH:mm 'Uhr'",
	}
	numeric = map[string]string{"time": "HH:mm"}
	isoDate = "yyyy-MM-dd"
	formats = []string{"iso", "iso-date", "short", "long", "full", "time", "datetime"}
)

var (
	germanMonths = []string{
		"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember",
	}
	germanShortMonths = []string{"Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."}
	germanDays        = []string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"}
	austrianMonth     = "Jänner"
)

// formatsOf returns the named formats of a locale. English without a region is American, as in CLDR.
func formatsOf(locale language.Tag) (named map[string]string, names bool) {
	base, _ := locale.Base()
	region, confidence := locale.Region()
	switch base.String() {
	case "de":
		return german, true
	case "en":
		if confidence == language.No || region.String() == "US" {
			return american, true
		}
		return english, true
	}
	return numeric, false
}

func checkDate(x *expression, locale language.Tag) (offset int, message string) {
	format := option(x, "format")
	if format == nil {
		return 0, ""
	}
	name, ok := constant(format)
	if !ok {
		return format.offset, "format is a constant text"
	}
	named, words := formatsOf(locale)
	if _, known := named[name]; known || name == "iso" || name == "iso-date" {
		return 0, ""
	}
	for _, other := range formats {
		if name == other {
			return format.offset, fmt.Sprintf("the format %s is for English and German, not for %s; use iso, iso-date, time or a pattern", name, locale)
		}
	}
	if err := pattern(name, words, func(string) {}); err != nil {
		return format.offset, err.Error()
	}
	return 0, ""
}

// pattern splits a pattern (Unicode TR 35, a part of its letters) into fields and texts, which it passes to field in order; a text has a
// leading quote. words allows names of months and days.
func pattern(source string, words bool, field func(string)) error {
	for i := 0; i < len(source); {
		c := source[i]
		if c == '\'' {
			length := strings.IndexByte(source[i+1:], '\'')
			switch {
			case length < 0:
				return errors.New("the pattern has a quote that is not closed")
			case length == 0:
				field("''")
			default:
				field(source[i : i+1+length])
			}
			i += length + 2
			continue
		}
		if c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			field("'" + source[i:i+1])
			i++
			continue
		}
		end := i
		for end < len(source) && source[end] == c {
			end++
		}
		letters := source[i:end]
		switch letters {
		case "yyyy", "yy", "MM", "M", "dd", "d", "HH", "H", "hh", "h", "mm", "ss", "XXX":
		case "MMMM", "MMM", "EEEE", "EEE", "a":
			if !words {
				return fmt.Errorf("%s in a format is for English and German", letters)
			}
		default:
			return fmt.Errorf("%s is no format of a date: those are %s, and patterns of yyyy yy MMMM MMM MM M dd d EEEE EEE HH H hh h mm ss a XXX",
				source, strings.Join(formats, ", "))
		}
		field(letters)
		i = end
	}
	return nil
}

// layouts are the fields as layouts of time.Format.
var layouts = map[string]string{
	"yyyy": "2006", "yy": "06", "MM": "01", "M": "1", "dd": "02", "d": "2", "HH": "15", "hh": "03", "h": "3", "mm": "04", "ss": "05",
	"XXX": "Z07:00", "MMMM": "January", "MMM": "Jan", "EEEE": "Monday", "EEE": "Mon", "a": "PM",
}

// written writes one field of a time.
func written(at time.Time, field string, locale language.Tag) string {
	base, _ := locale.Base()
	if base.String() == "de" {
		region, _ := locale.Region()
		switch {
		case field == "MMMM" && at.Month() == time.January && region.String() == "AT":
			return austrianMonth
		case field == "MMMM":
			return germanMonths[at.Month()-1]
		case field == "MMM":
			return germanShortMonths[at.Month()-1]
		case field == "EEEE":
			return germanDays[at.Weekday()]
		case field == "EEE":
			return germanDays[at.Weekday()][:2]
		}
	}
	if field == "H" {
		return fmt.Sprint(at.Hour())
	}
	return at.Format(layouts[field])
}

// formatDate writes a time in a format and a zone.
func formatDate(c *call) (any, error) {
	value := c.arguments[0]
	if absent(value) || value == "" {
		return "", nil
	}
	at, dateOnly, err := moment(value)
	if err != nil {
		return nil, err
	}
	if !dateOnly {
		zone, err := c.zone()
		if err != nil {
			return nil, err
		}
		at = at.In(zone)
	}
	name, _ := c.options["format"].(string)
	named, words := formatsOf(c.locale())
	if name == "" {
		name = "iso-date"
		if words {
			name = "long"
		}
	}
	switch name {
	case "iso":
		return at.Format(time.RFC3339), nil
	case "iso-date":
		name = isoDate
	}
	if source, known := named[name]; known {
		name = source
	}
	var out strings.Builder
	err = pattern(name, words, func(field string) {
		if field[0] == '\'' {
			out.WriteString(field[1:])
			return
		}
		out.WriteString(written(at, field, c.locale()))
	})
	return out.String(), err
}

// zone is the zone that a call names, or else the reader's.
func (c *call) zone() (*time.Location, error) {
	named, given := c.options["zone"]
	if !given || absent(named) || named == "" {
		if c.env.Zone == nil {
			return time.UTC, nil
		}
		return c.env.Zone, nil
	}
	name, ok := named.(string)
	if !ok {
		return nil, errors.New("zone is the name of a time zone")
	}
	zone, err := c.env.LoadZone(name)
	if err != nil {
		return nil, errors.New("zone is not an IANA time zone")
	}
	return zone, nil
}

// moment returns the time of a value: RFC 3339, a date alone (2006-01-02), or seconds since the Unix epoch.
func moment(value any) (at time.Time, dateOnly bool, err error) {
	switch v := value.(type) {
	case number:
		if f := v.float(); math.Abs(f) < 253402300800 { // the year 10000
			seconds := math.Floor(f)
			return time.Unix(int64(seconds), int64((f-seconds)*1e9)).UTC(), false, nil
		}
	case string:
		if at, err := time.Parse(time.DateOnly, v); err == nil {
			return at, true, nil
		}
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at, false, nil
		}
	}
	return at, false, errors.New("date takes a time as RFC 3339, a date such as 2006-01-02, or seconds since 1970, and the value is none of them")
}
