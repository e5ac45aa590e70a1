package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

func parse(t *testing.T, schedule, options string) *language.Workflow {
	t.Helper()
	source := "document: {dsl: '1.0.3', namespace: test, name: timed, version: '0.1.0'" + options + "}\n" + schedule + "\ndo:\n- a: {set: {x: 1}}\n"
	w, faults := language.Parse([]byte(source))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return w
}

func options(text string) string { return ", metadata: {schedule: {" + text + "}}" }

func TestPlans(t *testing.T) {
	t.Parallel()
	p, faults := FromWorkflow(parse(t, "schedule: {cron: '0 9 * * 1-5'}",
		options("timeZone: Europe/Berlin, overlap: buffer_one, catchUp: PT10M, jitter: {seconds: 30}, input: {day: '${ .scheduled_for[:10] }'}")))
	if len(faults) > 0 || !p.Has(Cron) || p.Overlap != BufferOne || p.CatchUp != 10*time.Minute || p.Jitter != 30*time.Second {
		t.Fatalf("plan %+v, faults %v", p, faults)
	}
	p, faults = FromWorkflow(parse(t, "schedule: {every: {minutes: 5}}", ""))
	if len(faults) > 0 || !p.Has(Every) || p.Overlap != Allow || p.CatchUp != DefaultCatchUp || p.Zone != "UTC" {
		t.Fatalf("plan %+v, faults %v", p, faults)
	}
	if p, faults = FromWorkflow(parse(t, "", "")); p != nil || faults != nil {
		t.Fatalf("plan %+v, faults %v", p, faults)
	}
}

func TestInvalidPlans(t *testing.T) {
	t.Parallel()
	const daily = "schedule: {cron: '@daily'}"
	for _, test := range []struct{ schedule, options, want string }{
		{"schedule: {cron: 'whenever'}", "", "/schedule/cron value"},
		{"schedule: {}", "", "/schedule missing"},
		{"schedule: {every: PT0.05S}", "", "/schedule/every value"},
		{"schedule: {after: {milliseconds: 99}}", "", "/schedule/after value"},
		{"schedule: {on: {all: []}}", "", "/schedule/on value"},
		{"schedule: {on: {any: [{with: {type: a}}], until: '${ false }'}}", "", "/schedule/on value"},
		{daily, options("timeZone: Mars/Olympus"), "/document/metadata/schedule/timeZone value"},
		{daily, options("timeZone: Local"), "/document/metadata/schedule/timeZone value"},
		{daily, options("overlap: queue"), "/document/metadata/schedule/overlap value"},
		{daily, options("catchUp: soon, jitter: PT2H"), "/document/metadata/schedule/catchUp value, /document/metadata/schedule/jitter value"},
		{daily, options("catchup: PT1M"), "/document/metadata/schedule/catchup unknown_field"},
		{daily, options("input: {a: '${ .nominal_time | explode | .[999] | error }'}"), "/document/metadata/schedule/input expression"},
		{daily, ", metadata: {schedule: daily}", "/document/metadata/schedule type"},
		{"", options("overlap: skip"), "/document/metadata/schedule reference"},
		{"schedule: {every: PT1M}", options("timeZone: UTC"), "/document/metadata/schedule/timeZone value"},
		{"schedule: {on: {one: {with: {type: a}}}}", options("input: {}"), "/document/metadata/schedule/input value"},
	} {
		p, faults := FromWorkflow(parse(t, test.schedule, test.options))
		var got []string
		for _, f := range faults {
			got = append(got, f.Pointer+" "+f.Code)
		}
		if p != nil || strings.Join(got, ", ") != test.want {
			t.Errorf("%s %s: plan %v, faults %v, want %s", test.schedule, test.options, p, faults, test.want)
		}
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	w := parse(t, "schedule: {cron: '0 1 * * *'}", options("timeZone: America/New_York, input: {day: '${ .scheduled_for[:10] }', all: '${ . }'}"))
	p, faults := FromWorkflow(w)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	nominal := time.Date(2026, 7, 2, 5, 0, 0, 0, time.UTC)
	input, err := p.Input(w, nominal, nominal, true)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"all":{"backfill":true,"nominal_time":"2026-07-02T05:00:00Z","scheduled_for":"2026-07-02T01:00:00-04:00",` +
		`"time_zone":"America/New_York"},"day":"2026-07-02"}`
	if got := string(language.Canonical(input)); got != want {
		t.Errorf("input %s, want %s", got, want)
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	p, faults := FromWorkflow(parse(t, "schedule: {every: PT10M}", ""))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	anchor := time.Date(2026, 1, 1, 0, 3, 0, 0, time.UTC)
	if got := p.Next(anchor.Add(-time.Hour), anchor); !got.Equal(anchor.Add(10 * time.Minute)) {
		t.Errorf("first nominal time %s", got)
	}
	if got := p.Next(anchor.Add(10*time.Minute), anchor); !got.Equal(anchor.Add(20 * time.Minute)) {
		t.Errorf("second nominal time %s", got)
	}
	times, more := p.Between(anchor.Add(10*time.Minute), anchor.Add(40*time.Minute), anchor, 10)
	if len(times) != 3 || more || !times[0].Equal(anchor.Add(10*time.Minute)) {
		t.Errorf("Between: %v", times)
	}
	if times, more = p.Between(anchor, anchor.Add(time.Hour), anchor, 2); len(times) != 2 || !more {
		t.Errorf("Between with a limit of 2: %v, more %v", times, more)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	p := &Plan{Jitter: time.Minute}
	seen := map[time.Duration]bool{}
	for i := range 50 {
		nominal := time.Date(2026, 1, 1, i%24, i, 0, 0, time.UTC)
		due := p.Due("a", nominal)
		if due.Before(nominal) || !due.Before(nominal.Add(time.Minute)) || !due.Equal(p.Due("a", nominal)) {
			t.Fatalf("%s is due at %s", nominal, due)
		}
		seen[due.Sub(nominal)] = true
	}
	if len(seen) < 25 {
		t.Errorf("50 runs have %d different delays", len(seen))
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		due     []Overlap
		running int
		want    []Verdict
		cancel  bool
	}{
		{[]Overlap{Skip, Skip}, 0, []Verdict{Start, Drop}, false},
		{[]Overlap{Skip}, 1, []Verdict{Drop}, false},
		{[]Overlap{BufferOne, BufferOne, BufferOne}, 1, []Verdict{Wait, Drop, Drop}, false},
		{[]Overlap{BufferOne, BufferOne, BufferOne}, 0, []Verdict{Start, Wait, Drop}, false},
		{[]Overlap{BufferAll, BufferAll, BufferAll}, 0, []Verdict{Start, Wait, Wait}, false},
		{[]Overlap{CancelOther, CancelOther}, 1, []Verdict{Drop, Wait}, true},
		{[]Overlap{CancelOther, CancelOther}, 0, []Verdict{Drop, Start}, false},
		{[]Overlap{TerminateOther}, 2, []Verdict{Start}, true},
		{[]Overlap{TerminateOther, TerminateOther}, 0, []Verdict{Drop, Start}, false},
		{[]Overlap{Allow, Allow}, 3, []Verdict{Start, Start}, false},
		{[]Overlap{Allow, Allow, Allow}, MaxRunning - 2, []Verdict{Start, Start, Wait}, false},
		{[]Overlap{BufferAll, Allow, Skip}, 1, []Verdict{Wait, Start, Drop}, false},
	} {
		verdicts, cancel := Decide(test.due, test.running)
		if !slices.Equal(verdicts, test.want) || cancel != test.cancel {
			t.Errorf("%s: %v, cancel %v", fmt.Sprint(test.due, test.running), verdicts, cancel)
		}
	}
}

// TestSeveralKinds: each of the kinds that a schedule declares starts runs; the nominal times are those of all.
func TestSeveralKinds(t *testing.T) {
	t.Parallel()
	p, faults := FromWorkflow(parse(t, "schedule: {every: PT25M, cron: '0 * * * *', after: PT0.5S, on: {one: {with: {type: a}}}}", options("overlap: allow, input: {n: 1}")))
	if len(faults) > 0 || !slices.Equal(p.Kinds, []Kind{Cron, Every, After, On}) || p.After != 500*time.Millisecond || !p.Timed() {
		t.Fatalf("plan %+v, faults %v", p, faults)
	}
	anchor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	times, more := p.Between(anchor, anchor.Add(2*time.Hour), anchor, 10)
	var got []string
	for _, at := range times {
		got = append(got, at.Format("15:04"))
	}
	if want := []string{"00:00", "00:25", "00:50", "01:00", "01:15", "01:40"}; more || !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestShortIntervals(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{every: PT0.1S}", "{every: {milliseconds: 250}}", "{after: PT0.5S}"} {
		if p, faults := FromWorkflow(parse(t, "schedule: "+text, "")); p == nil {
			t.Errorf("%s: %v", text, faults)
		}
	}
}
