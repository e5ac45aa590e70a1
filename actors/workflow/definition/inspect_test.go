package definition_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// head is the first line of every test definition; the metadata, if any, are in it.
const head = "document: {dsl: '1.0.3', namespace: test, name: story, version: '0.1.0'%s}\n"

// withMetadata returns a definition with document.metadata and a task.
func withMetadata(metadata string) string {
	return fmt.Sprintf(head, ", metadata: {"+metadata+"}") + "do:\n- a: {set: {x: 1}}\n"
}

// withTop returns a definition with top-level fields between the document and do, and tasks. The tasks start on line 4.
func withTop(top, tasks string) string { return fmt.Sprintf(head, "") + top + "\ndo:\n" + tasks }

// withTasks returns a definition with tasks, which start on line 3.
func withTasks(tasks string) string { return fmt.Sprintf(head, "") + "do:\n" + tasks }

// short renders faults as line:column pointer code, one each.
func short(faults language.Faults) []string {
	var out []string
	for _, f := range faults {
		out = append(out, fmt.Sprintf("%d:%d %s %s", f.Line, f.Column, f.Pointer, f.Code))
	}
	return out
}

// parse inspects a definition that must have no faults.
func parse(t *testing.T, source string) *language.Workflow {
	t.Helper()
	w, faults := definition.Inspect([]byte(source))
	if w == nil {
		t.Fatalf("faults of\n%s\n%v", source, faults)
	}
	return w
}

func TestInspectAcceptsEveryKindOfFunction(t *testing.T) {
	t.Parallel()
	w := parse(t, withTop("use: {functions: {greet: {set: {hello: '${ .name }'}}}}", `
- a: {call: echo, with: {n: 1}}
- b: {call: greet, with: {name: Ada}}
- c: {call: github.get_repo, with: {owner: weft}}
- d: {call: notification.send, with: {subject: Hello}}
- e: {call: approval.request, with: {title: 'Ship it?'}}
- f: {call: consent.require, with: {scope: notifications.send}}
- g: {call: workflow.start, with: {namespace: test, name: other}}
- h: {call: http, with: {method: get, endpoint: 'https://example.com'}}
`))
	if w.Document.Name != "story" || w.Tasks() < 8 {
		t.Errorf("parsed %q with %d tasks", w.Document.Name, w.Tasks())
	}
}

// TestInspectLocatesFaults checks the position, pointer and code of what weft rejects beyond the specification.
func TestInspectLocatesFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, source string
		want         []string
	}{
		{"unknown function", withTasks("- a: {call: nosuchfunction}\n"), []string{"3:13 /do/0/a/call reference"}},
		{"invalid action name", withTasks("- a: {call: GitHub.Get}\n"), []string{"3:13 /do/0/a/call reference"}},
		{"in do", withTasks("- a: {do: [{b: {call: nosuch}}]}\n"), []string{"3:23 /do/0/a/do/0/b/call reference"}},
		{"in for", withTasks("- a: {for: {in: '${ [1] }'}, do: [{b: {call: nosuch}}]}\n"), []string{"3:46 /do/0/a/do/0/b/call reference"}},
		{"in fork", withTasks("- a: {fork: {branches: [{b: {call: nosuch}}]}}\n"), []string{"3:36 /do/0/a/fork/branches/0/b/call reference"}},
		{"in try", withTasks("- a: {try: [{b: {call: nosuch}}], catch: {do: [{c: {call: nosuch}}]}}\n"), []string{
			"3:24 /do/0/a/try/0/b/call reference", "3:59 /do/0/a/catch/do/0/c/call reference",
		}},
		{"in listen", withTasks("- a: {listen: {to: {any: []}}, foreach: {do: [{b: {call: nosuch}}]}}\n"), []string{"3:58 /do/0/a/foreach/do/0/b/call reference"}},
		{"in a function", withTop("use: {functions: {f: {call: nosuch}}}", "- a: {call: f}\n"), []string{"2:29 /use/functions/f/call reference"}},
		{"unsupported", withTasks("- a: {run: {shell: {command: ls}}}\n"), []string{"3:20 /do/0/a/run/shell unsupported"}},
		{
			"unsupported protocol", withTasks("- a: {call: grpc, with: {proto: {endpoint: 'https://a'}, service: {name: a, host: b}, method: c}}\n"),
			[]string{"3:6 /do/0/a unsupported"},
		},
		{"schedule", withTop("schedule: {on: {all: []}}", "- a: {set: {x: 1}}\n"), []string{"2:16 /schedule/on value"}},
		{"cron", withTop("schedule: {cron: 'every day'}", "- a: {set: {x: 1}}\n"), []string{"2:18 /schedule/cron value"}},
		{"in source order", withTop("schedule: {cron: soon}", "- a: {call: nosuch}\n- b: {call: nosuch}\n"), []string{
			"2:18 /schedule/cron value", "4:13 /do/0/a/call reference", "5:13 /do/1/b/call reference",
		}},
		{"all in one pass", withTasks("- a: {call: nosuch}\n- b: {sett: {x: 1}}\n"), []string{"3:13 /do/0/a/call reference", "4:6 /do/1/b missing", "4:7 /do/1/b/sett unknown_field"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, faults := definition.Inspect([]byte(test.source))
			if w != nil {
				t.Error("a definition with faults was returned")
			}
			if got := strings.Join(short(faults), "\n"); got != strings.Join(test.want, "\n") {
				t.Errorf("faults\n%v\nwant\n%s", faults, strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestReadSource(t *testing.T) {
	t.Parallel()
	for given, want := range map[string][2]string{
		` {"do": []} `:         {` {"do": []} `, ""},
		` "do:\n- a: b\n" `:    {"do:\n- a: b\n", "do:\n- a: b\n"},
		`"\u0064o: {\"x\":1}"`: {`do: {"x":1}`, `do: {"x":1}`},
		``:                     {"", ""},
		`[1]`:                  {`[1]`, ""},
	} {
		source, text, err := definition.ReadSource(json.RawMessage(given))
		if err != nil || string(source) != want[0] || text != want[1] {
			t.Errorf("%s: source %q, text %q, %v", given, source, text, err)
		}
	}
	_, _, err := definition.ReadSource(json.RawMessage(`"unterminated`))
	wantField(t, err, subjects.CodeInvalid, "definition", "JSON string")
}

func TestInputOf(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": "{}", " \n": "{}", `{"b": 1.50, "a": [true, null]}`: `{"a":[true,null],"b":1.5}`, `"text"`: `"text"`,
	} {
		if got, err := definition.InputOf(json.RawMessage(given), 64); err != nil || got != want {
			t.Errorf("%q: %s, %v", given, got, err)
		}
	}
	_, err := definition.InputOf(json.RawMessage(`{"a":`), 64)
	wantField(t, err, subjects.CodeInvalid, "input", "JSON")
	if _, err := definition.InputOf(json.RawMessage(`"12345678"`), 9); subjects.CodeOf(err) != subjects.CodeTooLarge || !strings.Contains(err.Error(), "limit is 9") {
		t.Errorf("ten bytes with a limit of nine: %v", err)
	}
	if _, err := definition.InputOf(json.RawMessage(`"1234567"`), 9); err != nil {
		t.Errorf("nine bytes with a limit of nine: %v", err)
	}
}

func TestErrorOfFaults(t *testing.T) {
	t.Parallel()
	unsupported := language.Fault{Line: 3, Column: 6, Pointer: "/do/0/a", Code: language.CodeUnsupported, Message: "shell"}
	wrong := language.Fault{Line: 4, Column: 7, Pointer: "/do/1/b", Code: language.CodeReference, Message: "no function"}
	var coded *subjects.Error
	if err := definition.Error(language.Faults{unsupported}); !errors.As(err, &coded) || coded.Code != subjects.CodeUnsupported {
		t.Errorf("only unsupported: %v", err)
	}
	err := definition.Error(language.Faults{unsupported, wrong})
	if !errors.As(err, &coded) || coded.Code != subjects.CodeInvalid || len(coded.Fields) != 2 {
		t.Fatalf("unsupported and wrong: %v", err)
	}
	want := subjects.FieldError{Field: "definition", Message: "no function", Line: 4, Column: 7, Pointer: "/do/1/b", Code: language.CodeReference}
	if coded.Fields[1] != want {
		t.Errorf("the second field is %+v, want %+v", coded.Fields[1], want)
	}
	if !strings.Contains(coded.Detail, "3:6: /do/0/a: shell") {
		t.Errorf("the detail %q lacks the first fault", coded.Detail)
	}
}

func TestWireFaultsIsNeverNil(t *testing.T) {
	t.Parallel()
	if got := definition.WireFaults(nil); got == nil || len(got) != 0 {
		t.Errorf("no faults give %#v, want an empty list", got)
	}
	f := language.Fault{Line: 1, Column: 2, Pointer: "/a", Code: "value", Message: "wrong"}
	if got := definition.WireFaults(language.Faults{f}); len(got) != 1 || got[0] != subjects.WorkflowFault(f) {
		t.Errorf("one fault gives %+v", got)
	}
}

// TestLint checks that Lint reports what Inspect does, but for references, which only a server can fetch.
func TestLint(t *testing.T) {
	t.Parallel()
	reference := withTasks("- a: {call: 'https://example.com/f.yaml', with: {x: 1}}\n")
	if faults := definition.Lint([]byte(reference), nil); len(faults) != 0 {
		t.Errorf("a reference is reported: %v", faults)
	}
	if w, faults := definition.Inspect([]byte(reference)); w != nil || len(faults) != 1 || faults[0].Code != language.CodeUnsupported {
		t.Errorf("Inspect accepts a reference, or reports %v", faults)
	}
	both := reference + "- b: {call: nosuch}\n"
	if got := short(definition.Lint([]byte(both), nil)); len(got) != 1 || got[0] != "4:13 /do/1/b/call reference" {
		t.Errorf("faults beside a reference: %v", got)
	}
	if got := definition.Lint([]byte("do: ["), nil); len(got) != 1 || got[0].Code != language.CodeSyntax {
		t.Errorf("faults of a document that does not parse: %v", got)
	}
}

// wantField checks an error's code, its one field, and a part of the field's message.
func wantField(t *testing.T, err error, code subjects.Code, field, message string) {
	t.Helper()
	var coded *subjects.Error
	if !errors.As(err, &coded) || coded.Code != code || len(coded.Fields) != 1 || coded.Fields[0].Field != field ||
		!strings.Contains(coded.Fields[0].Message, message) {
		t.Errorf("got %v, want %s of the field %s with %q", err, code, field, message)
	}
}
