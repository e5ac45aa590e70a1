package machine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

func TestAttributeMatching(t *testing.T) {
	t.Parallel()
	event := map[string]any{"type": "com.example.order", "source": "https://x.test/a", "n": 5, "ok": true, "data": map[string]any{"room": "r1", "list": []any{1}}}
	for with, want := range map[string]bool{
		`{type: com.example.order}`: true, `{type: com.example}`: false, `{type: comXexampleXorder}`: false,
		`{type: 'com\.example\..*'}`: true, `{type: 'example'}`: false, `{type: '.*order'}`: true, `{type: 'order$|^com.*'}`: true,
		`{n: 5}`: true, `{n: 6}`: false, `{n: '5'}`: false, `{ok: true}`: true, `{ok: false}`: false, `{gone: x}`: false, `{gone: null}`: true,
		`{data: {room: r1, list: [1]}}`: true, `{data: {room: r1}}`: false,
		`{data: {room: '${ . == "r1" }'}}`: true, `{data: {room: '${ . == "r2" }'}}`: false, `{data: {room: r1, list: ['${ . < 2 }']}}`: true,
		`{data: {room: r2, list: ['${ . < 2 }']}}`: false, `{data: {list: ['${ . < 2 }', 2]}}`: false, `{data: {gone: '${ . == 1 }'}}`: false,
		`{data: {room: {x: '${ . == 1 }'}}}`: false, `{data: {gone: '${ . == null }'}}`: true,
		`{data: '${ .room == "r1" }'}`: true, `{data: '${ .room == "r2" }'}`: false, `{data: '${ .room }'}`: false, `{n: '${ . }'}`: true, `{n: '${ 5 }'}`: true, `{n: '${ 4 }'}`: false,
		`{n: '${ . > 3 }'}`: true, `{n: '${ error("x") }'}`: false, `{n: '${ null }'}`: false,
		`{type: com.example.order, n: 5}`: true, `{type: com.example.order, n: 6}`: false,
	} {
		d := newDriver(t, head+`do: [{a: {listen: {to: {one: {with: `+with+`}}}}}]`)
		x := d.start(nil)
		if got := x.Listeners()[0].Wants(event); got != want {
			t.Errorf("%s: %v", with, got)
		}
	}
}

// sequence delivers events to a schedule, and formats for each whether it was added (+) or ignored (-) and, at the end, the
// input of the execution that they start.
func sequence(t *testing.T, on string, events ...string) string {
	t.Helper()
	def := newDriver(t, head+"schedule: {on: "+on+"}\ndo: [{a: {set: {x: 1}}}]").def
	var (
		correlation EventCorrelation
		marks       strings.Builder
	)
	for i, text := range events {
		event, _ := decode(t, text).(map[string]any)
		added, complete, err := correlation.Add(def, event, epoch, MatchingBudget())
		switch {
		case err != nil:
			return marks.String() + "error"
		case !added:
			marks.WriteString("-")
		default:
			marks.WriteString("+")
		}
		if complete {
			return marks.String() + " " + string(language.Canonical(correlation.Input())) + " after " + language.Text(i+1)
		}
	}
	return marks.String()
}

func TestEventCorrelation(t *testing.T) {
	t.Parallel()
	const a1, a2, b1, b2, end = `{"type":"a","k":1,"data":"a1"}`, `{"type":"a","k":2,"data":"a2"}`, `{"type":"b","k":1,"data":"b1"}`, `{"type":"b","k":2,"data":"b2"}`, `{"type":"end"}`
	const correlated = `{all: [{with: {type: a}, correlate: {k: {from: .k}}}, {with: {type: b}, correlate: {k: {from: .k}}}]}`
	for _, test := range []struct {
		on     string
		events []string
		want   string
	}{
		{`{all: [{with: {type: a}}, {with: {type: b}}]}`, []string{a1, b2}, `++ ["a1","b2"] after 2`},
		{`{all: [{with: {type: a}}, {with: {type: b}}]}`, []string{b1, end, a1}, `+-+ ["b1","a1"] after 3`},
		{`{all: [{with: {type: a}}, {with: {type: b}}]}`, []string{a1, a2, b1}, `+-+ ["a1","b1"] after 3`},
		{`{all: [{with: {type: a}}, {with: {type: a}}]}`, []string{a1, a2}, `++ ["a1","a2"] after 2`},
		{correlated, []string{a1, b2, b1}, `+-+ ["a1","b1"] after 3`},
		{correlated, []string{`{"type":"a"}`, b2, a1, a2}, `-+-+ ["b2","a2"] after 4`},
		{`{all: [{with: {type: a}, correlate: {k: {from: .k, expect: '1'}}}, {with: {type: b}}]}`, []string{a2, a1, b1}, `--+`},
		{`{any: [{with: {type: a}}, {with: {type: b}}], until: {one: {with: {type: end}}}}`, []string{end, a1, b2, a2, end}, `-++++ ["a1","b2","a2"] after 5`},
		{`{any: [{with: {type: a}}], until: {all: [{with: {type: end}}, {with: {type: b}}]}}`, []string{a1, end, a2, end, b1}, `+++-+ ["a1","a2"] after 5`},
		{`{any: [{with: {type: a}}], until: '. | length == 2'}`, []string{a1, b1, a2}, `+-+ ["a1","a2"] after 3`},
		{`{any: [], until: '. | length == 2'}`, []string{a1, b1}, `++ ["a1","b1"] after 2`},
		{`{any: [{with: {type: a}}], until: '. | error'}`, []string{b1, a1}, `-error`},
	} {
		if got := sequence(t, test.on, test.events...); got != test.want {
			t.Errorf("%s: got %s, want %s", test.on, got, test.want)
		}
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	event := map[string]any{"type": "a", "id": "1", "data": map[string]any{"n": int64(1)}}
	for schedule, want := range map[string]string{
		``:                           `none`,
		`schedule: {cron: '@daily'}`: `none`,
		`schedule: {on: {one: {with: {type: a}}}}`:                                                    `[{"n":1}]`,
		`schedule: {on: {one: {with: {type: a}}}, read: envelope}`:                                    `[{"data":{"n":1},"id":"1","type":"a"}]`,
		`schedule: {on: {one: {with: {type: a}}}, read: raw}`:                                         `["{\"n\":1}"]`,
		`schedule: {on: {one: {with: {type: b}}}}`:                                                    `none`,
		`schedule: {on: {any: []}}`:                                                                   `[{"n":1}]`,
		`schedule: {on: {any: [{with: {type: b}}, {with: {data: '${ .n == 1 }'}}]}}`:                  `[{"n":1}]`,
		`schedule: {on: {one: {with: {type: a}, correlate: {k: {from: .data.n, expect: '${ 2 }'}}}}}`: `none`,
	} {
		def := newDriver(t, head+schedule+"\ndo: [{a: {set: {x: 1}}}]").def
		input, starts, err := Trigger(def, event, epoch)
		if err != nil {
			t.Error(err)
		}
		got := "none"
		if starts {
			got = string(language.Canonical(input))
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", schedule, got, want)
		}
		several := strings.Contains(schedule, "all:") || strings.Contains(schedule, "until")
		if CorrelatesEvents(def) != several {
			t.Errorf("%s: CorrelatesEvents is %v", schedule, !several)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{f: {fork: {branches: [
  {a: {listen: {to: {one: {with: {type: x}}}}}},
  {b: {listen: {to: {any: [{with: {type: y}}, {with: {type: z, source: s}}], until: {one: {with: {type: end}}}}}}},
  {c: {listen: {to: {any: []}}}},
  {d: {wait: PT1S}}]}}}]`)
	x := d.start(nil)
	var got []string
	for _, subscription := range x.Subscriptions() {
		got = append(got, subscription.Task[strings.LastIndex(subscription.Task, "/")+1:]+" "+string(language.Canonical(subscription.Filters)))
	}
	want := []string{`a [{"type":"x"}]`, `b [{"type":"y"},{"source":"s","type":"z"},{"type":"end"}]`, `c null`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	first := x.Subscriptions()[0].ID
	if got := x.Handle(MessageReceived(first, map[string]any{"type": "y"}, d.now)); got != nil {
		t.Errorf("an event that the listener does not want yielded %v", got)
	}
	if got := x.Handle(MessageReceived("99", map[string]any{"type": "x"}, d.now)); got != nil {
		t.Errorf("an event for an unknown listener yielded %v", got)
	}
	events := x.Handle(MessageReceived(first, map[string]any{"type": "x", "data": 1}, d.now))
	if len(events) != 2 || events[0].Type != EventReceived || events[1].Type != TaskCompleted || len(x.Subscriptions()) != 2 {
		t.Errorf("a wanted event yielded %+v", events)
	}
}

// TestMatchingIsBounded: where the filters of a listener or a schedule take more steps than one event may, it is not known whether they
// match: the listener faults, the schedule reports an error, and neither takes the event for one that it does not want.
func TestMatchingIsBounded(t *testing.T) {
	t.Parallel()
	filters := make([]string, 60)
	for i := range filters {
		filters[i] = fmt.Sprintf(`{with: {type: t, n%d: '${ [range(6000)] | map(. + 1) | length < 0 }'}}`, i)
	}
	wanted := "{any: [" + strings.Join(filters, ", ") + "]}"
	message := map[string]any{"type": "t", "id": "1", "source": "s"}
	d := newDriver(t, head+`do: [{a: {try: [{l: {listen: {to: `+wanted+`}}}], catch: {as: e, do: [{c: {set: {x: '${ $e.detail }'}}}]}}}]`)
	x := d.start(nil)
	if !x.Listeners()[0].Wants(message) {
		t.Error("a listener that cannot be matched does not want the event")
	}
	d.append(x.Handle(EventArrived(message, d.now)))
	if got, want := result(x), `{"x":"the evaluations for one event take more than 4000000 steps"}`; got != want {
		t.Errorf("a listener: %s", got)
	}
	def := newDriver(t, head+`schedule: {on: `+wanted+"}\ndo: [{a: {set: {x: 1}}}]").def
	if input, starts, err := Trigger(def, message, epoch); starts || err == nil {
		t.Errorf("a schedule: %v, %t, %v", input, starts, err)
	}
	def = newDriver(t, head+`schedule: {on: {all: [`+strings.Join(filters, ", ")+"]}}\ndo: [{a: {set: {x: 1}}}]").def
	var correlation EventCorrelation
	if added, complete, err := correlation.Add(def, message, epoch, MatchingBudget()); !added || !complete || err == nil {
		t.Errorf("a correlation: %t, %t, %v", added, complete, err)
	}
}

// TestPatternsMatchAll: a pattern matches the whole text, and one that is invalid nothing.
func TestPatternsMatchAll(t *testing.T) {
	t.Parallel()
	matcher, scope := newScheduleMatcher(&language.Workflow{}, epoch)
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"a.c", "a.c", true}, {"a.c", "abc", false}, {"a+c", "aac", true}, {"a+c", "aacd", false}, {"a|b", "b", true}, {"a|b", "ab", false},
		{"(", "(", true}, {"(", "x", false}, {strings.Repeat("a*", 5000), "aaaa", false},
	} {
		if got := matcher.matchesAttribute(test.pattern, test.text, scope); got != test.want {
			t.Errorf("%.20s, %s: %t", test.pattern, test.text, got)
		}
	}
}
