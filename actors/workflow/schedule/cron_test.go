package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDaylightSaving states the rules. Berlin's clock goes from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to
// 02:00 on 25 October 2026.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	const spring, autumn = "2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"
	for _, test := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"a time in the gap runs at the first instant after it", "30 2 * * *", "Europe/Berlin", spring,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"the gap's end runs once", "0 2,3 * * *", "Europe/Berlin", spring,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"several times in the gap run once", "*/20 2 * * *", "Europe/Berlin", spring,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"a time that comes twice runs the first time", "30 2 * * *", "Europe/Berlin", autumn,
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"asked in the second hour, the first has been", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z",
			[]string{"2026-10-26T02:30:00+01:00"}},
		{"after the overlap, the wall goes on", "0 2,3 * * *", "Europe/Berlin", autumn,
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-26T02:00:00+01:00"}},
		{"every hour goes by elapsed time: over the gap", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-29T04:30:00+02:00"}},
		{"every hour goes by elapsed time: through both hours", "30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"}},
		{"a gap at midnight", "0 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00:00+03:00", "2026-03-30T00:00:00+03:00"}},
		{"a change by half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"a zone without changes", "@daily", "Asia/Kolkata", spring, []string{"2026-03-29T00:00:00+05:30"}},
		{"the day of a leap year", "0 0 29 2 *", "UTC", spring, []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"either day of month or day of week", "0 9 13 * 5", "UTC", "2026-02-07T00:00:00Z",
			[]string{"2026-02-13T09:00:00Z", "2026-02-20T09:00:00Z"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			c, err := parseCron(test.cron, zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, test.after)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				at = c.next(at)
				if got := at.In(zone).Format(time.RFC3339); got != want {
					t.Fatalf("next is %s, want %s", got, want)
				}
			}
		})
	}
}

func TestFaultyCron(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@every 1h", "TZ=Europe/Berlin 0 0 * * *", "CRON_TZ=UTC @daily", "never",
	} {
		if _, err := parseCron(text, time.UTC); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestOnceADay: whatever a zone does, a time of day comes exactly once on each date that the zone's clock has.
func TestOnceADay(t *testing.T) {
	t.Parallel()
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Beirut", "UTC"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		c, err := parseCron(time.Date(0, 1, 1, hour, minute, 0, 0, time.UTC).Format("4 15 * * *"), zone)
		if err != nil {
			t.Fatal(err)
		}
		day := time.Date(rapid.IntRange(2000, 2035).Draw(t, "year"), 1, rapid.IntRange(1, 365).Draw(t, "day"), 12, 0, 0, 0, time.UTC)
		at := c.next(day)
		for range 300 {
			previous := wall(at.In(zone)).Truncate(24 * time.Hour)
			next := c.next(at)
			if !next.After(at) {
				t.Fatalf("after %s comes %s", at, next)
			}
			// A date that the clock leaves out whole, or a gap up to midnight, moves a run to the next date.
			if date := wall(next.In(zone)).Truncate(24 * time.Hour); date.Sub(previous) != 24*time.Hour {
				t.Fatalf("after %s comes %s", at.In(zone), next.In(zone))
			}
			at = next
		}
	})
}

// TestNextDoesNotDependOnWhereItIsAsked: asked from any instant before a nominal time and after the one before, the
// answer is that time; so backfill and a live schedule name the same times.
func TestNextDoesNotDependOnWhereItIsAsked(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		c, err := parseCron(rapid.SampledFrom([]string{"30 2 * * *", "*/7 * * * *", "0,30 1-3 * * *", "15 */2 * * *", "@hourly"}).Draw(t, "cron"), zone)
		if err != nil {
			t.Fatal(err)
		}
		from := rapid.SampledFrom([]string{"2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z"}).Draw(t, "transition")
		start, err := time.Parse(time.RFC3339, from)
		if err != nil {
			t.Fatal(err)
		}
		start = start.Add(-2 * time.Hour)
		at := start.Add(time.Duration(rapid.IntRange(0, 6*3600).Draw(t, "asked")) * time.Second)
		next := start
		for !next.After(at) {
			next = c.next(next)
		}
		if got := c.next(at); !got.Equal(next) {
			t.Fatalf("asked at %s: %s, want %s", at, got, next)
		}
	})
}
