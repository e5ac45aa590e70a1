package timing

import (
	"math"
	"time"
)

// DayMinutes is the number of minutes of a day's wall clock, and the largest end of a span.
const DayMinutes = 24 * 60

// Days is a set of weekdays, a bit for each time.Weekday.
type Days uint8

// EveryDay has all seven weekdays.
const EveryDay Days = 1<<7 - 1

// On returns the set of some weekdays.
func On(days ...time.Weekday) (set Days) {
	for _, day := range days {
		set |= 1 << day
	}
	return set
}

// Has reports whether the set has a weekday.
func (d Days) Has(day time.Weekday) bool { return d&(1<<day) != 0 }

// Span is a part of certain days, in minutes of the wall clock since midnight: from Start, inclusive, to End, exclusive. A span whose End is
// not after its Start ends on the following day; Days are the days on which it begins.
type Span struct {
	Days       Days
	Start, End int
}

// contains reports whether the span has a minute of the wall clock of a weekday.
func (s Span) contains(day time.Weekday, minute int) bool {
	if s.Start < s.End {
		return s.Days.Has(day) && s.Start <= minute && minute < s.End
	}
	return s.Days.Has(day) && minute >= s.Start || s.Days.Has((day+6)%7) && minute < s.End
}

// Rules say when messages may be sent.
type Rules struct {
	// Zone is the time zone of the wall clock; nil is UTC.
	Zone *time.Location
	// Quiet has the spans in which nothing is sent.
	Quiet []Span
	// Windows has the spans in which messages are sent; without any, they are sent at all times outside Quiet.
	Windows []Span
}

// Verdict says why an instant is not allowed.
type Verdict int

// The verdicts.
const (
	// Allowed: messages may be sent.
	Allowed Verdict = iota
	// Quiet: the instant is in a quiet span.
	Quiet
	// Outside: the instant is in none of the windows.
	Outside
)

// At returns the verdict on an instant. Quiet precedes Outside.
func (r Rules) At(t time.Time) Verdict {
	t = t.In(r.zone())
	return r.at(t.Weekday(), t.Hour()*60+t.Minute())
}

func (r Rules) at(day time.Weekday, minute int) Verdict {
	for _, span := range r.Quiet {
		if span.contains(day, minute) {
			return Quiet
		}
	}
	for _, span := range r.Windows {
		if span.contains(day, minute) {
			return Allowed
		}
	}
	if len(r.Windows) > 0 {
		return Outside
	}
	return Allowed
}

func (r Rules) zone() *time.Location {
	if r.Zone == nil {
		return time.UTC
	}
	return r.Zone
}

// Free reports whether a week without a change of the clock has a minute at which messages may be sent.
func (r Rules) Free() bool {
	for day := time.Sunday; day <= time.Saturday; day++ {
		for _, minute := range r.boundaries() {
			if minute < DayMinutes && r.at(day, minute) == Allowed {
				return true
			}
		}
	}
	return false
}

// horizon bounds how far Next looks ahead: a free minute of the week may fall into an hour that the clock leaves out.
const horizon = 15 * 24 * time.Hour

// Next returns the first instant at or after t at which messages may be sent, with the precision of a second unless it is t itself. It
// returns t where there is none, which Free excludes.
func (r Rules) Next(t time.Time) time.Time {
	boundaries := r.boundaries()
	for at := t; at.Sub(t) <= horizon; {
		if r.At(at) == Allowed {
			return at
		}
		at = nextChange(at.In(r.zone()), boundaries)
	}
	return t
}

// boundaries returns the minutes of the day at which a verdict may change, midnight included.
func (r Rules) boundaries() []int {
	minutes := []int{0}
	for _, spans := range [][]Span{r.Quiet, r.Windows} {
		for _, span := range spans {
			minutes = append(minutes, span.Start, span.End)
		}
	}
	return minutes
}

// nextChange returns the first instant after t, a time in a zone, at which the wall clock reaches one of the minutes or the zone changes its
// offset.
func nextChange(t time.Time, minutes []int) time.Time {
	const day = DayMinutes * 60
	now := (t.Hour()*60+t.Minute())*60 + t.Second()
	ahead := day
	for _, minute := range minutes {
		if wait := (minute*60 - now + day) % day; wait > 0 {
			ahead = min(ahead, wait)
		}
	}
	next := t.Truncate(time.Second).Add(time.Duration(ahead) * time.Second)
	if _, change := t.ZoneBounds(); !change.IsZero() && change.Before(next) {
		return change
	}
	return next
}

// Digest is the time of a daily or weekly digest.
type Digest struct {
	// Zone is the time zone of the wall clock; nil is UTC.
	Zone *time.Location
	// Days are the weekdays on which a digest is due; none means every day.
	Days Days
	// Minute is the minute of the day, from 0 to 1439.
	Minute int
}

// Next returns the first digest time after t. Each day that has one has it once.
func (d Digest) Next(t time.Time) time.Time {
	zone, days := d.Zone, d.Days
	if zone == nil {
		zone = time.UTC
	}
	if days&EveryDay == 0 {
		days = EveryDay
	}
	local := t.In(zone)
	// A zone that crosses the date line leaves out a day, and a weekly digest's day may be the one.
	for ahead := range 22 {
		year, month, day := local.Date()
		midday := time.Date(year, month, day+ahead, 12, 0, 0, 0, time.UTC)
		if !days.Has(midday.Weekday()) {
			continue
		}
		if at, ok := occurrence(midday, d.Minute, zone); ok && at.After(t) {
			return at
		}
	}
	return t.Add(7 * 24 * time.Hour)
}

// occurrence returns the first instant of a date at which the wall clock shows a minute, or the change that leaves it out. It is false where
// the zone leaves out the whole date.
func occurrence(date time.Time, minute int, zone *time.Location) (time.Time, bool) {
	wall := time.Date(date.Year(), date.Month(), date.Day(), 0, minute, 0, 0, time.UTC)
	first := time.Unix(math.MaxInt32, 0)
	found := false
	// The offsets in effect around the date; two differ where the clock changes.
	for _, around := range []time.Duration{-36 * time.Hour, -12 * time.Hour, 0, 12 * time.Hour, 36 * time.Hour} {
		_, offset := wall.Add(around).In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		local := at.In(zone)
		if local.Hour()*60+local.Minute() == minute && local.Second() == 0 && local.Day() == date.Day() && (!found || at.Before(first)) {
			first, found = at, true
		}
	}
	if found {
		return first, true
	}
	// No offset fits: the change leaves the minute out. It is the end of the offset that is in effect before it.
	_, offset := wall.Add(-36 * time.Hour).In(zone).Zone()
	before := wall.Add(-time.Duration(offset) * time.Second).Add(-26 * time.Hour).In(zone)
	for range 4 {
		_, change := before.ZoneBounds()
		if change.IsZero() {
			return time.Time{}, false
		}
		left, after := change.Add(-time.Second).In(zone), change.In(zone)
		_, was := left.Zone()
		_, is := after.Zone()
		// The wall clock jumps from skippedFrom to skippedTo.
		skippedFrom, skippedTo := change.Add(time.Duration(was)*time.Second).UTC(), change.Add(time.Duration(is)*time.Second).UTC()
		if !wall.Before(skippedFrom) && wall.Before(skippedTo) {
			return change, after.Day() == date.Day() || left.Day() == date.Day()
		}
		before = change.In(zone)
	}
	return time.Time{}, false
}
