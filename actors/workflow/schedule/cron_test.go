package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDaylightSaving covers the rules for changes of the clock. Berlin changes from 02:00 to 03:00 on 29 March 2026, and
// from 03:00 to 02:00 on 25 October 2026.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	const spring, autumn = "2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"
	for _, test := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"a skipped time runs at the first instant after the gap", "30 2 * * *", "Europe/Berlin", spring,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"the end of the gap runs once", "0 2,3 * * *", "Europe/Berlin", spring,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"several skipped times run once", "*/20 2 * * *", "Europe/Berlin", spring,
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"a repeated time runs the first time", "30 2 * * *", "Europe/Berlin", autumn,
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"during the repetition, the time has already run", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z",
			[]string{"2026-10-26T02:30:00+01:00"}},
		{"after the repetition, local time continues", "0 2,3 * * *", "Europe/Berlin", autumn,
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-26T02:00:00+01:00"}},
		{"every hour: skips the gap", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-29T04:30:00+02:00"}},
		{"every hour: runs in both repetitions", "30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"}},
		{"a gap at midnight", "0 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00:00+03:00", "2026-03-30T00:00:00+03:00"}},
		{"a change of half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"a zone without changes", "@daily", "Asia/Kolkata", spring, []string{"2026-03-29T00:00:00+05:30"}},
		{"a leap day", "0 0 29 2 *", "UTC", spring, []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
		{"day of month or day of week", "0 9 13 * 5", "UTC", "2026-02-07T00:00:00Z",
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

func TestInvalidCron(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "* * * *", "61 * * * *", "0 0 30 2 *", "@every 1h", "TZ=Europe/Berlin 0 0 * * *", "CRON_TZ=UTC @daily", "never",
	} {
		if _, err := parseCron(text, time.UTC); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestDailyRunsOncePerDate: in any zone, a daily time occurs exactly once on each local date.
func TestDailyRunsOncePerDate(t *testing.T) {
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
			previous := wallClock(at.In(zone)).Truncate(24 * time.Hour)
			next := c.next(at)
			if !next.After(at) {
				t.Fatalf("next after %s is %s", at, next)
			}
			// Each run is on the date that follows that of the previous one.
			if date := wallClock(next.In(zone)).Truncate(24 * time.Hour); date.Sub(previous) != 24*time.Hour {
				t.Fatalf("next after %s is %s", at.In(zone), next.In(zone))
			}
			at = next
		}
	})
}

// TestNextIsConsistent: next returns the same nominal time for any instant between it and the previous one, so that a
// backfill and a live schedule have the same nominal times.
func TestNextIsConsistent(t *testing.T) {
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
			t.Fatalf("next after %s is %s, want %s", at, got, next)
		}
	})
}

// TestSundaysAndSeconds: crontab(5) has Sunday as 0 and 7; a first of six fields is that of seconds.
func TestSundaysAndSeconds(t *testing.T) {
	t.Parallel()
	after := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) // a Wednesday
	for text, want := range map[string]string{
		"0 0 * * 7": "2026-07-05T00:00:00Z", "0 0 * * 0-7": "2026-07-02T00:00:00Z", "0 0 * * 5-7": "2026-07-03T00:00:00Z", "0 0 * * 6,7": "2026-07-04T00:00:00Z",
		"0 0 * * 1-7/3": "2026-07-02T00:00:00Z", "0 0 * * 7-7": "2026-07-05T00:00:00Z", "30 0 0 * * 7": "2026-07-05T00:00:30Z", "*/10 * * * * *": "2026-07-01T12:00:10Z",
		"15 30 6 * * 1-5": "2026-07-02T06:30:15Z", "0 0 * * SUN": "2026-07-05T00:00:00Z",
	} {
		c, err := parseCron(text, time.UTC)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.next(after).Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"0 0 * * 8", "0 0 * * 7-2", "0 0 * * 0-8", "60 0 0 * * *", "0 0 0 0 * * *", "0 0 * *"} {
		if _, err := parseCron(text, time.UTC); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
