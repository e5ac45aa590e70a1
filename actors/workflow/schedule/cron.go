package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // for containers without zone files

	"github.com/robfig/cron/v3"
)

// maxCronLength bounds a cron expression, in bytes.
const maxCronLength = 200

// maxTransitions bounds the zone transitions that one search passes; no zone has more in five years.
const maxTransitions = 200

// starHour is the bit that the parser sets for an hour field of `*`; allHours are the bits of all hours.
const (
	starHour = 1 << 63
	allHours = 1<<24 - 1
)

// cronParser parses the five fields of crontab(5), and descriptors such as @hourly.
var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// crontab is a cron expression in a time zone.
type crontab struct {
	spec *cron.SpecSchedule
	zone *time.Location
	// hourly: the expression matches every hour, so it follows elapsed time over a change of the clock.
	hourly bool
}

func parseCron(text string, zone *time.Location) (*crontab, error) {
	if len(text) > maxCronLength {
		return nil, fmt.Errorf("a cron expression has at most %d characters", maxCronLength)
	}
	if strings.Contains(text, "TZ=") {
		return nil, errors.New("the time zone belongs in document.metadata.schedule.timeZone")
	}
	parsed, err := cronParser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q is not a cron expression of five fields: %w", text, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("write @every as schedule.every")
	}
	c := &crontab{spec: spec, zone: zone, hourly: spec.Hour&starHour != 0 || spec.Hour&allHours == allHours}
	if spec.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%.80q never occurs", text)
	}
	return c, nil
}

// next is the first instant after a given one, or zero if there is none within five years. It searches local time, which
// is represented as a time in UTC, one period of constant zone offset after the other.
func (c *crontab) next(after time.Time) time.Time {
	from := after.In(c.zone)
	base := wallClock(from)
	if start, _ := from.ZoneBounds(); !c.hourly && !start.IsZero() {
		if seen := wallClock(start.Add(-time.Nanosecond).In(c.zone)).Add(time.Nanosecond - time.Second); seen.After(base) {
			base = seen // in the repetition of an hour, local times of its first occurrence have already run
		}
	}
	for range maxTransitions {
		due := c.spec.Next(base)
		if due.IsZero() {
			return due
		}
		_, offset := from.Zone()
		at := due.Add(-time.Duration(offset) * time.Second)
		_, end := from.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		end = end.In(c.zone)
		_, changed := end.Zone()
		skipped := changed > offset
		if skipped && !c.hourly && due.Before(wallClock(end)) {
			return end.UTC()
		}
		resume := wallClock(end)
		if !skipped && !c.hourly {
			resume = resume.Add(time.Duration(offset-changed) * time.Second)
		}
		from, base = end, resume.Add(-time.Second)
	}
	return time.Time{}
}

// wallClock is the local time of an instant in its zone, represented as a time in UTC.
func wallClock(at time.Time) time.Time {
	_, offset := at.Zone()
	return at.Add(time.Duration(offset) * time.Second).UTC()
}
