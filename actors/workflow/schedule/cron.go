package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a container without zone files must know the same zones

	"github.com/robfig/cron/v3"
)

// maxCron bounds a cron expression, in bytes.
const maxCron = 200

// maxTransitions bounds the changes of the clock that one search looks past: more than any zone has in five years.
const maxTransitions = 200

// everyHour is the bit that the parser sets for a field of `*`, allHours what names each hour.
const (
	everyHour = 1 << 63
	allHours  = 1<<24 - 1
)

// parser reads the five fields of crontab(5), and @hourly and its like.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// crontab is a cron expression in a zone.
type crontab struct {
	spec *cron.SpecSchedule
	zone *time.Location
	// elapsed: the expression is for every hour, so that it goes by elapsed time over a change of the clock.
	elapsed bool
}

func parseCron(text string, zone *time.Location) (*crontab, error) {
	if len(text) > maxCron {
		return nil, fmt.Errorf("a cron expression has at most %d characters", maxCron)
	}
	if strings.Contains(text, "TZ=") {
		return nil, errors.New("the time zone belongs in document.metadata.schedule.timeZone")
	}
	parsed, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q is not a cron expression of five fields: %w", text, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("write @every as schedule.every")
	}
	c := &crontab{spec: spec, zone: zone, elapsed: spec.Hour&everyHour != 0 || spec.Hour&allHours == allHours}
	if spec.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%.80q never comes", text)
	}
	return c, nil
}

// next is the first instant after a given one; zero when there is none within five years. It searches the clock on the
// wall, which is written here as a time in UTC, one zone offset after the other.
func (c *crontab) next(after time.Time) time.Time {
	from := after.In(c.zone)
	base := wall(from)
	if start, _ := from.ZoneBounds(); !c.elapsed && !start.IsZero() {
		if seen := wall(start.Add(-time.Nanosecond).In(c.zone)).Add(time.Nanosecond - time.Second); seen.After(base) {
			base = seen // in the second of two hours that look the same, the first has been
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
		if skipped && !c.elapsed && due.Before(wall(end)) {
			return end.UTC()
		}
		resume := wall(end)
		if !skipped && !c.elapsed {
			resume = resume.Add(time.Duration(offset-changed) * time.Second)
		}
		from, base = end, resume.Add(-time.Second)
	}
	return time.Time{}
}

// wall is what a clock shows at an instant in its zone, as a time in UTC.
func wall(at time.Time) time.Time {
	_, offset := at.Zone()
	return at.Add(time.Duration(offset) * time.Second).UTC()
}
