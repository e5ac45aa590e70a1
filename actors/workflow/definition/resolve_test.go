package definition_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// library is a set of documents by URI that records what is fetched.
type library struct {
	documents map[string]string
	fetched   []string
}

func (l *library) fetch(_ context.Context, uri string) ([]byte, error) {
	l.fetched = append(l.fetched, uri)
	if text, ok := l.documents[uri]; ok {
		return []byte(text), nil
	}
	return nil, machine.NewError(machine.TypeCommunication, "the response has status 404")
}

const at = "https://lib.example"

func TestResolveMakesReferencesPartOfTheDefinition(t *testing.T) {
	t.Parallel()
	l := &library{documents: map[string]string{
		at + "/schema.json":                          `{"type": "object", "required": ["name"]}`,
		at + "/greet.yaml":                           "call: " + at + "/functions/salute/1.0.0/function.yaml\nwith: {who: '${ .name }'}\n",
		at + "/functions/salute/1.0.0/function.yaml": "set: {text: '${ \"Dear \\(.who)\" }'}\n",
	}}
	source := withTop("input: {schema: {resource: {endpoint: '"+at+"/schema.json'}}}\nuse: {catalogs: {lib: {endpoint: '"+at+"'}}}", `
- greet: {call: '`+at+`/greet.yaml', with: {name: Ada}}
- again: {call: 'salute:1.0.0@lib', with: {who: Bob}}
`)
	w, faults := definition.Resolve(t.Context(), []byte(source), definition.Sources{Fetch: l.fetch})
	if w == nil {
		t.Fatal(faults)
	}
	if len(w.References()) != 0 || !strings.Contains(string(w.Canonical), `"required":["name"]`) || !strings.Contains(string(w.Canonical), "Dear ") {
		t.Errorf("resolved to %s", w.Canonical)
	}
	if got := slices.Compact(slices.Sorted(slices.Values(l.fetched))); len(got) != 3 || len(l.fetched) != 3 {
		t.Errorf("fetched %v, want each of three documents once", l.fetched)
	}
	l.fetched = nil
	if again, faults := definition.Resolve(t.Context(), w.Canonical, definition.Sources{Fetch: l.fetch}); again == nil || again.Digest != w.Digest || len(l.fetched) != 0 {
		t.Errorf("resolved again: %v, fetched %v", faults, l.fetched)
	}
}

// TestResolveFetchesOnlyForValidDefinitions: a definition without references, or with other faults, is not fetched for.
func TestResolveFetchesOnlyForValidDefinitions(t *testing.T) {
	t.Parallel()
	l := &library{}
	if w, faults := definition.Resolve(t.Context(), []byte(withTasks("- a: {set: {x: 1}}\n")), definition.Sources{Fetch: l.fetch}); w == nil {
		t.Errorf("without references: %v", faults)
	}
	for _, source := range []string{
		"do: [", withTasks("- a: {call: nosuch}\n"), withTasks("- a: {call: '" + at + "/f.yaml'}\n- b: {call: nosuch}\n"),
		withTasks("- a: {call: 'file:///etc/passwd'}\n"),
	} {
		if w, faults := definition.Resolve(t.Context(), []byte(source), definition.Sources{Fetch: l.fetch}); w != nil || len(faults) == 0 {
			t.Errorf("%s: resolved, with faults %v", source, faults)
		}
	}
	if len(l.fetched) != 0 {
		t.Errorf("fetched %v", l.fetched)
	}
}

// TestResolveFaults checks that a problem with a fetched document is reported at the reference to it.
func TestResolveFaults(t *testing.T) {
	t.Parallel()
	l := &library{documents: map[string]string{
		at + "/list.yaml": "- no task\n", at + "/faulty.yaml": "sett: {x: 1}\n", at + "/unknown.yaml": "call: nosuch\n",
		at + "/shell.yaml": "run: {shell: {command: ls}}\n", at + "/nested.yaml": "call: " + at + "/missing.yaml\n", at + "/inner.yaml": "do: [{a: {call: nosuch}}]\n",
	}}
	for document, want := range map[string]string{
		"missing.yaml": "cannot fetch " + at + "/missing.yaml: the response has status 404",
		"nested.yaml":  "cannot fetch " + at + "/missing.yaml",
		"list.yaml":    "task",
		"faulty.yaml":  "in " + at + "/faulty.yaml: ",
		"unknown.yaml": "in " + at + "/unknown.yaml: there is no function \"nosuch\"",
		"inner.yaml":   "in " + at + "/inner.yaml: there is no function \"nosuch\"",
		"shell.yaml":   "in " + at + "/shell.yaml: ",
	} {
		source := withTasks("- a: {set: {x: 1}}\n- b: {call: '" + at + "/" + document + "'}\n")
		w, faults := definition.Resolve(t.Context(), []byte(source), definition.Sources{Fetch: l.fetch})
		if w != nil || len(faults) == 0 {
			t.Errorf("%s: faults %v", document, faults)
			continue
		}
		f := faults[0]
		if !strings.Contains(f.Message, want) || f.Line != 4 || f.Column < 6 || !strings.HasPrefix(f.Pointer, "/do/1/b") {
			t.Errorf("%s: fault %v, want %q at the reference", document, f, want)
		}
	}
}

// TestResolveIsBounded: a document that refers to another one without end is refused after the limit of references.
func TestResolveIsBounded(t *testing.T) {
	t.Parallel()
	calls := 0
	_, faults := definition.Resolve(t.Context(), []byte(withTasks("- a: {call: '"+at+"/0'}\n")), definition.Sources{Fetch: func(context.Context, string) ([]byte, error) {
		calls++
		return fmt.Appendf(nil, "call: %s/%d\n", at, calls), nil
	}})
	if len(faults) != 1 || !strings.Contains(faults[0].Message, fmt.Sprint("at most ", language.MaxReferences)) || calls != language.MaxReferences {
		t.Errorf("after %d fetches: %v", calls, faults)
	}
}

// TestResolveHidesInternalErrors: the author reads the reason of a *machine.Error alone; and a fetch has a deadline.
func TestResolveHidesInternalErrors(t *testing.T) {
	t.Parallel()
	source := []byte(withTasks("- a: {call: '" + at + "/f.yaml'}\n"))
	_, faults := definition.Resolve(t.Context(), source, definition.Sources{Fetch: func(ctx context.Context, _ string) ([]byte, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > definition.FetchTimeout {
			t.Error("the fetch has no deadline")
		}
		return nil, errors.New("dialling 10.1.2.3: refused")
	}})
	if len(faults) != 1 || strings.Contains(faults[0].Message, "10.1.2.3") || !strings.HasSuffix(faults[0].Message, "an internal error occurred") {
		t.Errorf("faults %v", faults)
	}
}
