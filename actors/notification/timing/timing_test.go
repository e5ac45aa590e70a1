package timing_test

import (
	"archive/zip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/notification/timing"
)

// zones returns the zones of Go's copy of the IANA database.
func zones(t *testing.T) []*time.Location {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var list []*time.Location
	for _, file := range archive.File {
		if strings.HasSuffix(file.Name, "/") || file.Name == "Factory" {
			continue
		}
		zone, err := time.LoadLocation(file.Name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, zone)
	}
	if len(list) < 500 {
		t.Fatalf("only %d zones", len(list))
	}
	return list
}

// changes returns the instants at which a zone changes its offset within the two years from 2026 on, and the beginning of each.
func changes(zone *time.Location) []time.Time {
	at, end := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	list := []time.Time{at}
	for {
		_, next := at.In(zone).ZoneBounds()
		if next.IsZero() || !next.Before(end) {
			return list
		}
		list, at = append(list, next), next
	}
}

func spans() *rapid.Generator[timing.Span] {
	return rapid.Custom(func(t *rapid.T) timing.Span {
		return timing.Span{
			Days:  timing.Days(rapid.IntRange(1, 127).Draw(t, "days")),
			Start: rapid.IntRange(0, timing.DayMinutes-1).Draw(t, "start"),
			End:   rapid.IntRange(1, timing.DayMinutes).Draw(t, "end"),
		}
	})
}

func rules() *rapid.Generator[timing.Rules] {
	return rapid.Custom(func(t *rapid.T) timing.Rules {
		return timing.Rules{
			Quiet: rapid.SliceOfN(spans(), 0, 2).Draw(t, "quiet"), Windows: rapid.SliceOfN(spans(), 0, 3).Draw(t, "windows"),
		}
	})
}

// allowed decides by the text of the wall clock, minute by minute, and shares nothing with the package.
func allowed(r timing.Rules, at time.Time) bool {
	wall := at.In(r.Zone).Format("15:04")
	today, yesterday := at.In(r.Zone).Weekday(), (at.In(r.Zone).Weekday()+6)%7
	in := func(s timing.Span) bool {
		start := time.Date(2000, 1, 1, 0, s.Start, 0, 0, time.UTC).Format("15:04")
		end := time.Date(2000, 1, 1, 0, s.End, 0, 0, time.UTC).Format("15:04")
		if s.End == timing.DayMinutes {
			end = "24:00"
		}
		has := func(day time.Weekday) bool { return s.Days&(1<<day) != 0 }
		if s.Start < s.End {
			return has(today) && wall >= start && wall < end
		}
		return has(today) && wall >= start || has(yesterday) && wall < end
	}
	for _, s := range r.Quiet {
		if in(s) {
			return false
		}
	}
	for _, s := range r.Windows {
		if in(s) {
			return true
		}
	}
	return len(r.Windows) == 0
}

// scan bounds how many minutes a check looks at one by one.
const scan = 3 * timing.DayMinutes

// check fails where Next(from) is not allowed, is before from, or where an earlier minute is allowed.
func check(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, r timing.Rules, from time.Time,
) {
	t.Helper()
	next := r.Next(from)
	if next.Before(from) {
		t.Fatalf("%v: %v is before %v in %s", r, next, from, r.Zone)
	}
	if !r.Free() {
		return
	}
	if !allowed(r, next) || r.At(next) != timing.Allowed {
		t.Fatalf("%v: %v after %v is not allowed in %s", r, next.In(r.Zone), from.In(r.Zone), r.Zone)
	}
	if next.After(from) && allowed(r, from) {
		t.Fatalf("%v: %v is allowed, and %v was returned in %s", r, from.In(r.Zone), next.In(r.Zone), r.Zone)
	}
	// All changes of the wall clock are at whole minutes in these years.
	minute := from.Truncate(time.Minute).Add(time.Minute)
	if next.Sub(minute) > scan*time.Minute {
		minute = next.Add(-scan * time.Minute)
	}
	for ; minute.Before(next); minute = minute.Add(time.Minute) {
		if allowed(r, minute) {
			t.Fatalf("%v: %v is allowed, and %v was returned for %v in %s", r, minute.In(r.Zone), next.In(r.Zone), from.In(r.Zone), r.Zone)
		}
	}
}

// TestEveryZone: around every change of the clock of two years in every zone, Next is allowed and no earlier instant is.
func TestEveryZone(t *testing.T) {
	t.Parallel()
	generator, seed := rules(), 0
	changed := 0
	for _, zone := range zones(t) {
		for i, change := range changes(zone) {
			if i > 0 {
				changed++
			}
			seed++
			r := generator.Example(seed)
			r.Zone = zone
			// Quiet hours and a window whose ends are in the hour that the change leaves out or repeats.
			wall := change.In(zone).Hour() * 60
			near := timing.Rules{
				Zone:  zone,
				Quiet: []timing.Span{{Days: timing.EveryDay, Start: (wall + 21*60) % timing.DayMinutes, End: (wall + seed%120) % timing.DayMinutes}},
			}
			for _, from := range []time.Time{
				change.Add(-time.Duration(seed%180) * time.Minute), change.Add(-time.Nanosecond), change,
				change.Add(time.Duration(seed%180)*time.Minute + time.Duration(seed%60)*time.Second),
			} {
				check(t, r, from)
				check(t, near, from)
			}
		}
	}
	if changed < 200 {
		t.Errorf("only %d changes of the clock", changed)
	}
}

// TestNext is the same property for drawn rules and instants, which rapid can shrink.
func TestNext(t *testing.T) {
	t.Parallel()
	list := zones(t)
	rapid.Check(t, func(t *rapid.T) {
		r := rules().Draw(t, "rules")
		r.Zone = rapid.SampledFrom(list).Draw(t, "zone")
		change := rapid.SampledFrom(changes(r.Zone)).Draw(t, "change")
		from := change.Add(time.Duration(rapid.Int64Range(int64(-72*time.Hour), int64(72*time.Hour)).Draw(t, "from")))
		check(t, r, from)
		if next := r.Next(from); !r.Next(next).Equal(next) {
			t.Fatalf("Next(%v) is %v", next, r.Next(next))
		}
	})
}

// TestDigests: digest times follow one another, each is on its day at its minute or at the change that leaves it out, and no day that has one
// is passed over.
func TestDigests(t *testing.T) {
	t.Parallel()
	for seed, zone := range zones(t) {
		for _, change := range changes(zone) {
			near := change.In(zone)
			for _, d := range []timing.Digest{
				{Zone: zone, Minute: (near.Hour()*60 + seed*7 + timing.DayMinutes - 90) % timing.DayMinutes},
				{Zone: zone, Minute: near.Hour()*60 + seed%60},
				{Zone: zone, Minute: seed % 60, Days: timing.On(near.Weekday())},
			} {
				at := change.Add(-50 * time.Hour)
				for range 5 {
					next := d.Next(at)
					checkDigest(t, d, at, next)
					at = next
				}
			}
		}
	}
}

func checkDigest(t *testing.T, d timing.Digest, at, next time.Time) {
	t.Helper()
	local := next.In(d.Zone)
	most := 26 * time.Hour
	if d.Days != 0 {
		most = 7*24*time.Hour + 2*time.Hour
		if !d.Days.Has(local.Weekday()) {
			t.Fatalf("%+v: %v is not on its day", d, local)
		}
	}
	if !next.After(at) || next.Sub(at) > most {
		t.Fatalf("%+v: %v follows %v", d, local, at.In(d.Zone))
	}
	if local.Hour()*60+local.Minute() != d.Minute {
		start, _ := local.ZoneBounds()
		if !start.Equal(next) {
			t.Fatalf("%+v: %v is not its minute", d, local)
		}
	}
}

// TestKnownChanges: New York's and Zurich's changes of 2027, Lord Howe's half hour, and a zone that left out a day.
func TestKnownChanges(t *testing.T) {
	t.Parallel()
	load := func(name string) *time.Location {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return zone
	}
	parse := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	night := timing.Span{Days: timing.EveryDay, Start: 22 * 60, End: 2*60 + 30}
	for name, test := range map[string]struct {
		zone       string
		quiet      timing.Span
		from, want string
	}{
		"the end is left out":          {"America/New_York", night, "2027-03-14T06:00:00Z", "2027-03-14T07:00:00Z"},
		"the end is repeated":          {"Europe/Zurich", night, "2027-10-31T00:40:00Z", "2027-10-31T00:40:00Z"},
		"quiet again in the repeated":  {"Europe/Zurich", night, "2027-10-31T01:10:00Z", "2027-10-31T01:30:00Z"},
		"half an hour":                 {"Australia/Lord_Howe", night, "2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z"},
		"begins the day before":        {"Europe/Zurich", timing.Span{Days: timing.On(time.Friday), Start: 22 * 60, End: 7 * 60}, "2026-06-06T03:00:00Z", "2026-06-06T05:00:00Z"},
		"not on a day that has none":   {"Europe/Zurich", timing.Span{Days: timing.On(time.Friday), Start: 22 * 60, End: 7 * 60}, "2026-06-07T03:00:00Z", "2026-06-07T03:00:00Z"},
		"the whole day":                {"UTC", timing.Span{Days: timing.On(time.Sunday), Start: 0, End: timing.DayMinutes}, "2026-06-07T03:00:00.5Z", "2026-06-08T00:00:00Z"},
		"a date that was not there":    {"Pacific/Apia", timing.Span{Days: timing.On(time.Thursday), Start: 0, End: timing.DayMinutes}, "2011-12-30T03:00:00Z", "2011-12-30T10:00:00Z"},
		"the end is exclusive":         {"UTC", night, "2026-06-07T02:30:00Z", "2026-06-07T02:30:00Z"},
		"the start is inclusive":       {"UTC", night, "2026-06-07T22:00:00Z", "2026-06-08T02:30:00Z"},
		"the last instant before them": {"UTC", night, "2026-06-07T21:59:59.999999999Z", "2026-06-07T21:59:59.999999999Z"},
	} {
		r := timing.Rules{Zone: load(test.zone), Quiet: []timing.Span{test.quiet}}
		if got := r.Next(parse(test.from)); !got.Equal(parse(test.want)) {
			t.Errorf("%s: %v, want %s", name, got.UTC(), test.want)
		}
	}
	apia := timing.Digest{Zone: load("Pacific/Apia"), Minute: 8 * 60}
	if got, want := apia.Next(parse("2011-12-29T19:00:00Z")), parse("2011-12-30T18:00:00Z"); !got.Equal(want) {
		t.Errorf("Apia's digest: %v, want %v", got.UTC(), want)
	}
}

func TestFree(t *testing.T) {
	t.Parallel()
	all := timing.Span{Days: timing.EveryDay, Start: 0, End: timing.DayMinutes}
	for name, test := range map[string]struct {
		rules timing.Rules
		want  bool
	}{
		"nothing":               {timing.Rules{}, true},
		"quiet all the time":    {timing.Rules{Quiet: []timing.Span{all}}, false},
		"a window in the quiet": {timing.Rules{Quiet: []timing.Span{{Days: timing.EveryDay, Start: 600, End: 900}}, Windows: []timing.Span{{Days: 1, Start: 600, End: 900}}}, false},
		"a minute":              {timing.Rules{Quiet: []timing.Span{{Days: timing.EveryDay, Start: 600, End: 900}}, Windows: []timing.Span{{Days: 1, Start: 600, End: 901}}}, true},
	} {
		if got := test.rules.Free(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	blocked := timing.Rules{Quiet: []timing.Span{all}}
	if at := time.Unix(0, 0); !blocked.Next(at).Equal(at) {
		t.Error("without a free minute Next does not return")
	}
}
