package machine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// drawShared draws a value that holds others many times, and users' data that looks like the marks of a snapshot.
func drawShared(t *rapid.T) any {
	pool := []any{1, nil, "", strings.Repeat("long", 40), map[string]any{}, []any{}}
	key := rapid.SampledFrom([]string{"$shared", "$$shared", "$$$shared", "shared", "a", "b", ""})
	one := func() any { return pool[rapid.IntRange(0, len(pool)-1).Draw(t, "value")] }
	for range rapid.IntRange(1, 20).Draw(t, "values") {
		if rapid.Bool().Draw(t, "object") {
			object := map[string]any{}
			for range rapid.IntRange(0, 3).Draw(t, "fields") {
				object[key.Draw(t, "key")] = one()
			}
			pool = append(pool, object)
			continue
		}
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list = append(list, one())
		}
		pool = append(pool, list)
	}
	return pool[len(pool)-1]
}

// TestSnapshotsKeepWhatIsShared: a snapshot of random data, shared in random ways, restores the same data, which shares as much, and whose
// snapshot is the same.
func TestSnapshotsKeepWhatIsShared(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {wait: PT1S}}]`)
	rapid.Check(t, func(r *rapid.T) {
		x := d.start(nil)
		shared := drawShared(r)
		run := x.state.Runs[1]
		run.Input, run.Data, run.Raw = shared, drawShared(r), ValueOf(shared)
		run.Items, run.Results, run.Messages = []any{shared, shared}, map[string]any{"$shared": shared}, []any{drawShared(r)}
		x.state.Context, x.state.Compensable = ValueOf(shared), []Compensable{{Task: "/do/0/a", Input: shared, Output: run.Messages}}
		snapshot := stateOf(t, x)
		back, err := RestoreSnapshot(d.def, d.env, snapshot)
		if err != nil {
			r.Fatalf("%v: %s", err, snapshot)
		}
		want, got := language.Canonical(x.state.values()), language.Canonical(back.state.values())
		if !bytes.Equal(want, got) {
			r.Fatalf("got  %s\nwant %s\nfrom %s", got, want, snapshot)
		}
		if again := stateOf(t, back); !bytes.Equal(again, snapshot) {
			r.Fatalf("the snapshot of the restored state is\n%s\nwant\n%s", again, snapshot)
		}
		if again := stateOf(t, x); !bytes.Equal(again, snapshot) {
			r.Fatalf("a second snapshot is\n%s\nwant\n%s", again, snapshot)
		}
	})
}

// TestBranchesShareTheirState: what many branches have is in memory, in the snapshot and in the history once, also after a restore.
func TestBranchesShareTheirState(t *testing.T) {
	t.Parallel()
	const data = 900_000
	branches := make([]string, 400)
	for i := range branches {
		branches[i] = fmt.Sprintf("{b%d: {wait: PT1H}}", i)
	}
	for name, set := range map[string]string{
		"a text": `{x: '${ "a" * 900000 }'}`, "a list": `{x: '${ [range(300) | "a" * 3000] }'}`, "objects": `{x: '${ [range(300) | {y: ("a" * 3000)}] }'}`,
	} {
		d := newDriver(t, head+`do: [{a: {set: `+set+`}}, {f: {fork: {branches: [`+strings.Join(branches, ", ")+`]}}}]`)
		x := d.start(nil)
		check := func(at string, x *Execution) []byte {
			snapshot := stateOf(t, x)
			if size := len(snapshot); size < data || size > data+400*300 {
				t.Errorf("%s, %s: a snapshot of %d bytes", name, at, size)
			}
			if size := x.Size(); size < data || size > data+400*1000 {
				t.Errorf("%s, %s: a state of %d bytes", name, at, size)
			}
			if size := x.Bytes(); size < data || size > data+data/4 {
				t.Errorf("%s, %s: a history of %d bytes", name, at, size)
			}
			return snapshot
		}
		snapshot := check("live", x)
		back, err := RestoreSnapshot(d.def, d.env, snapshot)
		if err != nil {
			t.Fatal(err)
		}
		check("from a snapshot", back)
		if back, err = Restore(d.def, d.env, d.log); err != nil {
			t.Fatal(err)
		}
		check("from the log", back)
	}
}

// TestSnapshotsThatDoNotFitAreRefused: a snapshot that was changed is an error, not a wrong state.
func TestSnapshotsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {wait: PT1S}}]`)
	for _, snapshot := range []string{
		``, `null`, `[]`, `{}`, `{"state":null}`, `{"state":{"sequence":1}}`, `{"state":{"sequence":1,"runs":[{}]},"values":{"runs":[],"compensable":[]}}`,
		`{"state":{"sequence":1},"values":{"runs":[],"compensable":[],"input":{"$shared":0}}}`,
		`{"state":{"sequence":1},"values":{"runs":[],"compensable":[],"input":{"$shared":"0"}},"shared":[1]}`,
		`{"state":{"sequence":1},"values":{"runs":[],"compensable":[],"input":{"$shared":0}},"shared":[[{"$shared":0}]]}`,
		`{"state":{"sequence":1},"values":{"runs":[],"compensable":[],"input":{"$shared":-1}},"shared":[1]}`,
	} {
		if x, err := RestoreSnapshot(d.def, d.env, []byte(snapshot)); err == nil {
			t.Errorf("%s was restored as %+v", snapshot, x.state)
		}
	}
}
