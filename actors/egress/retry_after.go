package egress

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxDelay bounds what a response may ask for.
const maxDelay = 31 * 24 * time.Hour

// RetryAfter returns the delay that a response asks for, at most 31 days: by Retry-After (RFC 9110 §10.2.3), or else by Retry-After-Ms, a
// number of milliseconds. It is 0 if the field is missing, invalid or in the past.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	for _, value := range header.Values("Retry-After") {
		if delay := Delay(value, now); delay > 0 {
			return delay
		}
	}
	if ms, err := strconv.ParseFloat(strings.TrimSpace(header.Get("Retry-After-Ms")), 64); err == nil {
		return bounded(ms / 1000)
	}
	return 0
}

// Delay reads a delay, or a time after now, in the forms that servers use: seconds and an HTTP date, as RFC 9110 §10.2.3 says; seconds
// with a fraction; a number with a unit, such as 2s, 500ms or 5 seconds; the seconds or milliseconds of a time since 1970; and a date of
// ISO 8601, in UTC unless it says otherwise. Of a list, the longest counts. It is at most 31 days, and 0 if there is none.
func Delay(text string, now time.Time) time.Duration {
	text = strings.Trim(strings.TrimSpace(text), `"`)
	if delay, ok := delayOf(text, now); ok || len(text) > 200 {
		return delay
	}
	var longest time.Duration
	for item := range strings.SplitSeq(text, ",") {
		delay, _ := delayOf(strings.TrimSpace(item), now)
		longest = max(longest, delay)
	}
	return longest
}

// The numbers from which on one is a time since 1970, in seconds and in milliseconds: delays are below.
const (
	epochSeconds = 1e9
	epochMillis  = 1e12
)

func delayOf(text string, now time.Time) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		since := float64(now.UnixMilli()) / 1000
		switch {
		case math.IsNaN(n):
			return 0, true
		case n >= epochMillis && n < 1000*epochMillis:
			return bounded(n/1000 - since), true
		case n >= epochSeconds && n < epochMillis:
			return bounded(n - since), true
		case n >= 1e7:
			return 0, true
		}
		return bounded(n), true
	}
	if d, ok := withUnit(text); ok {
		return bounded(d.Seconds()), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return bounded(at.Sub(now).Seconds()), true
	}
	for _, layout := range isoLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			return bounded(at.Sub(now).Seconds()), true
		}
	}
	return 0, false
}

// isoLayouts are forms of ISO 8601, with a fraction of the second where they have one, and the zoned form of an HTTP date.
var isoLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02T15:04:05-0700", "20060102T150405Z07:00",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 MST", "2006-01-02 15:04:05", time.RFC1123Z,
}

// units are units in words.
var units = map[string]time.Duration{
	"millisecond": time.Millisecond, "milliseconds": time.Millisecond, "msec": time.Millisecond, "sec": time.Second, "secs": time.Second,
	"second": time.Second, "seconds": time.Second, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"hour": time.Hour, "hours": time.Hour,
}

// withUnit reads a number with a unit, or several.
func withUnit(text string) (time.Duration, bool) {
	text = strings.ToLower(text)
	if d, err := time.ParseDuration(strings.ReplaceAll(text, " ", "")); err == nil {
		return d, true
	}
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz ")
	n, err := strconv.ParseFloat(number, 64)
	unit, known := units[strings.TrimSpace(strings.TrimPrefix(text, number))]
	if err != nil || !known || math.IsNaN(n) || math.Abs(n) > 1e7 {
		return 0, false
	}
	return time.Duration(n * float64(unit)), true
}

// bounded is a positive number of seconds as a delay, at most maxDelay.
func bounded(seconds float64) time.Duration {
	if !(seconds > 0) { // also NaN
		return 0
	}
	if seconds >= maxDelay.Seconds() {
		return maxDelay
	}
	return time.Duration(seconds * float64(time.Second))
}
