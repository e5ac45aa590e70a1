package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
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

// cronParser parses the five fields of crontab(5), and descriptors such as @hourly; secondsParser also a field of seconds
// before them.
var (
	cronParser    = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	secondsParser = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
)

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
	fields, parser := strings.Fields(text), cronParser
	if len(fields) == 6 {
		parser = secondsParser
	}
	if len(fields) > 4 {
		fields[len(fields)-1] = sundays(fields[len(fields)-1])
	}
	parsed, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, fmt.Errorf("%.80q is not a cron expression: minute, hour, day of the month, month and day of the week, after seconds or "+
			"without, or @hourly, @daily, @weekly, @monthly, @yearly", text)
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

// dayRange matches a range of days of the week in digits, with a step or without.
var dayRange = regexp.MustCompile(`^([0-7])(?:-([0-7]))?(?:/([1-9]))?$`)

// sundays writes a field of days of the week without 7, which crontab(5) reads as Sunday, like 0.
func sundays(field string) string {
	if !strings.Contains(field, "7") {
		return field
	}
	var out []string
	for item := range strings.SplitSeq(field, ",") {
		match := dayRange.FindStringSubmatch(item)
		if len(match) != 4 || match[1] != "7" && match[2] != "7" {
			out = append(out, item)
			continue
		}
		first, last, step := int(match[1][0]-'0'), 7, 1
		if match[2] != "" {
			last = int(match[2][0] - '0')
		}
		if match[3] != "" {
			step = int(match[3][0] - '0')
		}
		if first > last {
			return field // an error
		}
		for day := first; day <= last; day += step {
			out = append(out, strconv.Itoa(day%7))
		}
	}
	return strings.Join(out, ",")
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
