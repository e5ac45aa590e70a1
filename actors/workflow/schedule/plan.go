package schedule

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// Kind is the kind of a schedule.
type Kind string

// The kinds of schedules.
const (
	Cron  Kind = "cron"
	Every Kind = "every"
	After Kind = "after"
	On    Kind = "on"
)

// Bounds of a schedule.
const (
	// MinEvery is the minimum interval of every and after.
	MinEvery = time.Second
	// DefaultCatchUp is the default of catchUp: long enough for a restart or an upgrade, short enough that a long downtime
	// does not start many runs at once.
	DefaultCatchUp = time.Hour
	// MaxCatchUp bounds catchUp, MaxJitter jitter.
	MaxCatchUp = 366 * 24 * time.Hour
	MaxJitter  = time.Hour
)

// Plan is the schedule of a definition with its options. It is immutable.
type Plan struct {
	Kind Kind
	// Cron is the expression of a cron schedule, Every the interval of every and after.
	Cron  string
	Every time.Duration
	// Zone is the name of an IANA time zone.
	Zone    string
	Overlap Overlap
	CatchUp time.Duration
	Jitter  time.Duration
	// On are the events of an on schedule; Read selects what its runs receive of them: data, envelope or raw.
	On   *language.Consumption
	Read string

	cron  *crontab
	input any
}

// Fault is one error in a schedule.
type Fault struct {
	// Pointer is the RFC 6901 pointer of the faulty value.
	Pointer string
	// Code is one of the codes of package language.
	Code, Message string
}

const (
	pointerSchedule = "/schedule"
	pointerOptions  = "/document/metadata/schedule"
)

// FromWorkflow reads the schedule of a definition; nil if it has none. If there are faults, the plan is nil.
func FromWorkflow(w *language.Workflow) (*Plan, []Fault) {
	r := &reader{options: map[string]any{}}
	given, has := w.Document.Metadata["schedule"]
	if has {
		options, ok := given.(map[string]any)
		if !ok {
			r.fault("", language.CodeType, "an object is expected")
		}
		r.options = options
	}
	if w.Schedule == nil {
		if has {
			r.fault("", language.CodeReference, "the definition has no schedule")
		}
		return nil, r.faults
	}
	p := &Plan{Zone: "UTC", CatchUp: DefaultCatchUp, Read: cmp.Or(w.Schedule.Read, "data")}
	r.readOptions(p)
	r.readKind(p, w.Schedule)
	p.Overlap = cmp.Or(p.Overlap, defaultOverlap(p.Kind))
	if len(r.faults) == 0 {
		r.readInput(p, w)
	}
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return p, nil
}

type reader struct {
	options map[string]any
	faults  []Fault
}

// fault records the fault of an option; an empty option means the options object itself.
func (r *reader) fault(option, code, message string) {
	pointer := pointerOptions
	if option != "" {
		pointer += "/" + option
	}
	r.faults = append(r.faults, Fault{pointer, code, message})
}

func (r *reader) readOptions(p *Plan) {
	for _, name := range slices.Sorted(maps.Keys(r.options)) {
		value := r.options[name]
		text, _ := value.(string)
		switch name {
		case "timeZone":
			p.Zone = text
		case "overlap":
			p.Overlap = Overlap(text)
			if !slices.Contains(Overlaps(), p.Overlap) {
				r.fault(name, language.CodeValue, fmt.Sprintf("must be one of %v", Overlaps()))
			}
		case "catchUp":
			p.CatchUp = r.duration(name, value, MaxCatchUp)
		case "jitter":
			p.Jitter = r.duration(name, value, MaxJitter)
		case "input":
			p.input = value
		default:
			r.fault(name, language.CodeUnknownField, fmt.Sprintf("unknown field %.40q", name))
		}
	}
}

func (r *reader) duration(option string, value any, most time.Duration) time.Duration {
	d, err := language.DurationOf(value)
	if err == nil && d > most {
		err = fmt.Errorf("is longer than %s", most)
	}
	if err != nil {
		r.fault(option, language.CodeValue, err.Error())
	}
	return d
}

func (r *reader) readKind(p *Plan, s *language.Schedule) {
	wrong := func(field string, err error) {
		r.faults = append(r.faults, Fault{pointerSchedule + field, language.CodeValue, err.Error()})
	}
	zone, err := subjects.LoadTimeZone(p.Zone)
	if err != nil || p.Zone == "" || p.Zone == "Local" {
		r.fault("timeZone", language.CodeValue, fmt.Sprintf("%.60q is not an IANA time zone such as Europe/Berlin", p.Zone))
		zone = time.UTC
	}
	switch {
	case s.Cron != "":
		p.Kind, p.Cron = Cron, s.Cron
		if p.cron, err = parseCron(s.Cron, zone); err != nil {
			wrong("/cron", err)
		}
	case s.Every != nil:
		p.Kind, p.Every = Every, s.Every.Value
		if err := checkMinimum(s.Every); err != nil {
			wrong("/every", err)
		}
	case s.After != nil:
		p.Kind, p.Every = After, s.After.Value
		if err := checkMinimum(s.After); err != nil {
			wrong("/after", err)
		}
	case s.On != nil:
		p.Kind, p.On = On, s.On
		if s.On.Mode == "all" && len(s.On.Filters) == 0 || s.On.Forever() {
			r.faults = append(r.faults, Fault{pointerSchedule + "/on", language.CodeValue, "can never start a run"})
		}
	default:
		r.faults = append(r.faults, Fault{pointerSchedule, language.CodeMissing, "one of cron, every, after and on is required"})
	}
	r.checkOptions(p)
}

// checkOptions rejects options that do not apply to the kind.
func (r *reader) checkOptions(p *Plan) {
	timed := []string{"overlap", "catchUp", "jitter"}
	refused := map[Kind][]string{Every: {"timeZone"}, After: append(timed, "timeZone"), On: append(timed, "timeZone", "input")}
	for _, option := range refused[p.Kind] {
		if _, given := r.options[option]; given {
			r.fault(option, language.CodeValue, fmt.Sprintf("does not apply to a schedule of kind %q", p.Kind))
		}
	}
}

// checkMinimum rejects intervals below MinEvery. Package language has rejected expressions.
func checkMinimum(d *language.Duration) error {
	if d.Value < MinEvery {
		return fmt.Errorf("is shorter than %s", MinEvery)
	}
	return nil
}

// readInput evaluates the input with sample times, to report expressions that fail.
func (r *reader) readInput(p *Plan, w *language.Workflow) {
	sample := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := p.Input(w, sample, sample, false); err != nil {
		r.fault("input", language.CodeExpression, err.Error())
	}
}

// Input evaluates the input of a run for a nominal time that starts now.
func (p *Plan) Input(w *language.Workflow, nominal, now time.Time, backfill bool) (any, error) {
	if p.input == nil {
		return map[string]any{}, nil
	}
	return w.Fill(p.input, map[string]any{
		"nominal_time": nominal.UTC().Format(time.RFC3339), "scheduled_for": nominal.In(p.location()).Format(time.RFC3339),
		"time_zone": p.Zone, "backfill": backfill,
	}, language.Scope{Now: now})
}

func (p *Plan) location() *time.Location {
	if p.cron != nil {
		return p.cron.zone
	}
	return time.UTC
}

// Timed reports whether the schedule has nominal times: cron and every do.
func (p *Plan) Timed() bool { return p.Kind == Cron || p.Kind == Every }

// Next is the first nominal time after an instant; zero if there is none or the schedule is not Timed. The times of
// every are counted from anchor.
func (p *Plan) Next(after, anchor time.Time) time.Time {
	switch p.Kind {
	case Cron:
		return p.cron.next(after)
	case Every:
		if after.Before(anchor) {
			return anchor.Add(p.Every)
		}
		past := after.Sub(anchor)
		return anchor.Add(past - past%p.Every + p.Every)
	}
	return time.Time{}
}

// Between lists the nominal times from since (inclusive) to until (exclusive), at most limit; more reports whether
// there are further ones.
func (p *Plan) Between(since, until, anchor time.Time, limit int) (times []time.Time, more bool) {
	at := since.Add(-time.Nanosecond)
	for {
		at = p.Next(at, anchor)
		if at.IsZero() || !at.Before(until) {
			return times, false
		}
		if len(times) == limit {
			return times, true
		}
		times = append(times, at)
	}
}

// Due is when the run for a nominal time starts: up to Jitter later, always the same for one schedule and nominal time.
func (p *Plan) Due(scheduleID string, nominal time.Time) time.Time {
	if p.Jitter < 1 {
		return nominal
	}
	hash := fnv.New64a()
	_, _ = fmt.Fprintf(hash, "%s/%d", scheduleID, nominal.UnixMicro()) // Write of a hash never fails
	return nominal.Add(time.Duration(hash.Sum64() % uint64(p.Jitter)))
}
