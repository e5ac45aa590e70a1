package machine

import (
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// replayGenerator draws definitions of random tasks. Calls fail depending on their key and attempt, so that retries may
// succeed.
type replayGenerator struct {
	t     *rapid.T
	count int
	// once omits retries.
	once bool
}

func (d *replayGenerator) name() string {
	d.count++
	return fmt.Sprintf("t%d", d.count)
}

func (d *replayGenerator) list(depth, most int) string {
	n := rapid.IntRange(1, most).Draw(d.t, "length")
	names := make([]string, n)
	for i := range names {
		names[i] = d.name()
	}
	tasks := make([]string, 0, n+2)
	for i, name := range names {
		then := rapid.SampledFrom([]string{"", "", "", "", ", then: continue", ", then: exit", ", then: end", "later"}).Draw(d.t, "then")
		if then == "later" {
			then = ", then: " + names[n-1]
			if i == n-1 {
				then = ""
			}
		}
		guard := rapid.SampledFrom([]string{"", "", "", "if: (.n // 0) % 2 == 0, "}).Draw(d.t, "if")
		tasks = append(tasks, "{"+name+": {"+guard+d.body(depth)+then+"}}")
	}
	if rapid.IntRange(0, 3).Draw(d.t, "back") == 0 {
		// The list is repeated; a counter in the context bounds the repetitions.
		tasks = append(tasks, "{"+d.name()+`: {set: {n: '${ (.n // 0) + 1 }'}, export: {as: '{seen: (($context.seen // 0) + 1)}'}}}`,
			"{"+d.name()+`: {switch: [{again: {when: '$context.seen < 12', then: `+names[0]+`}}]}}`)
	}
	return "[" + strings.Join(tasks, ", ") + "]"
}

func (d *replayGenerator) body(depth int) string {
	kinds := []string{"set", "call", "call", "wait", "emit", "raise", "switch", "timeout"}
	if depth > 0 {
		kinds = append(kinds, "do", "for", "fork", "race", "try")
		if !d.once {
			kinds = append(kinds, "retry", "retry")
		}
	}
	switch rapid.SampledFrom(kinds).Draw(d.t, "kind") {
	case "set":
		return `set: {n: '${ (.n // 0) + 1 }', item: '${ $context.seen }'}, export: {as: '{seen: (($context.seen // 0) + 1)}'}`
	case "call":
		return `call: some.thing, with: {n: '${ .n // 0 }'}, output: {as: '{n: (.n + 10)}'}`
	case "wait":
		return `wait: {seconds: ` + language.Text(rapid.IntRange(0, 9).Draw(d.t, "seconds")) + `}`
	case "emit":
		return `emit: {event: {with: {type: t.x, data: '${ .n }'}}}, output: {as: '{n: .data}'}`
	case "raise":
		return `do: [{` + d.name() + `: {if: (.n // 0) % 3 == 2, raise: {error: {type: urn:raised, status: 409}}}}]`
	case "switch":
		return `switch: [{odd: {when: (.n // 0) % 2 == 1, then: exit}}, {even: {then: continue}}]`
	case "timeout":
		return `timeout: {after: PT4S}, wait: {seconds: ` + language.Text(rapid.IntRange(1, 8).Draw(d.t, "seconds")) + `}`
	case "do":
		return `do: ` + d.list(depth-1, 3)
	case "for":
		return `for: {each: v, in: '[1, 2, 3]'}, while: '(.n // 0) < 40', do: ` + d.list(depth-1, 2)
	case "fork":
		return `fork: {branches: ` + d.branches(depth-1) + `}, output: {as: '{n: ([.[] | .n? // 0] | add)}'}`
	case "race":
		return `fork: {compete: true, branches: ` + d.branches(depth-1) + `}`
	case "try":
		return `try: ` + d.list(depth-1, 2) + `, catch: {as: e, do: [{` + d.name() + `: {set: {n: '${ $e.status }'}}}]}`
	}
	return `try: ` + d.list(depth-1, 2) + `, catch: {retry: {delay: PT2S, backoff: {exponential: {}}, jitter: {from: PT0S, to: PT1S}, ` +
		`limit: {attempt: {count: 2, duration: PT30S}}}}`
}

func (d *replayGenerator) branches(depth int) string {
	var branches []string
	for range rapid.IntRange(1, 3).Draw(d.t, "branches") {
		branches = append(branches, "{"+d.name()+": {"+d.body(depth)+"}}")
	}
	return "[" + strings.Join(branches, ", ") + "]"
}

// answer fails about a third of the first attempts and fewer of the later ones, deterministically.
func answer(call *Call) (any, *Error) {
	if call.Kind == CallEmit {
		return call.Message, nil
	}
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%s#%d", call.Key, call.Attempt)
	if hash.Sum32()%uint32(2+call.Attempt) == 0 {
		return nil, NewError(TypeCommunication, "down")
	}
	return call.Arguments, nil
}

// TestReplay cuts the log of a random execution at any event, also within a transition, and continues from there: from
// the log, and from a snapshot. The result must be the same log, and no call with a recorded result is made again.
func TestReplay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		source := head + "timeout: {after: PT10M}\ndo: " + (&replayGenerator{t: r}).list(3, 4)
		d := newDriver(t, source)
		d.reply = answer
		whole := d.run(map[string]any{"n": rapid.IntRange(0, 5).Draw(r, "n")})
		if !whole.Status().Ended() {
			r.Fatalf("status %s\n%s", whole.Status(), source)
		}
		cut := rapid.IntRange(1, len(d.log)).Draw(r, "cut")
		for _, fromSnapshot := range []bool{false, true} {
			again := resumed(t, d, cut)
			x, err := Restore(d.def, d.env, again.log)
			if err == nil && fromSnapshot {
				snapshot, failure := x.Snapshot()
				if failure != nil {
					r.Fatal(failure)
				}
				x, err = RestoreSnapshot(d.def, d.env, snapshot)
			}
			if err != nil {
				r.Fatal(err)
			}
			again.finish(x)
			if got, want := string(language.Canonical(again.log)), string(language.Canonical(d.log)); got != want {
				r.Fatalf("cut at %d of %d, from a snapshot: %v\n%s\ngot  %s\nwant %s", cut, len(d.log), fromSnapshot, source, got, want)
			}
		}
	})
}

// resumed returns a driver that has the first events of another driver's log.
func resumed(t *testing.T, d *driver, cut int) *driver {
	again := newDriver(t, string(d.def.Canonical))
	again.reply, again.took, again.env, again.log = d.reply, d.took, d.env, append([]Event{}, d.log[:cut]...)
	for _, event := range again.log {
		again.now = event.At
		if event.Type == CallCompleted || event.Type == CallFailed {
			again.done[language.Text(event.Run)] = true
		}
	}
	return again
}

// TestKeysAreUnique: without retries, no two calls of an execution have the same key.
func TestKeysAreUnique(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		d := newDriver(t, head+"do: "+(&replayGenerator{t: r, once: true}).list(3, 4))
		d.reply = answer
		d.run(map[string]any{"n": 1})
		seen := map[string]bool{}
		for _, key := range d.made {
			if seen[key] {
				r.Fatalf("two calls have the key %s", key)
			}
			seen[key] = true
		}
	})
}
