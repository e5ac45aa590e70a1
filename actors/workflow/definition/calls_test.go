package definition_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// catalog is a set of two providers.
func catalog(_ context.Context, id string) *definition.Provider {
	text := map[string]any{"type": "string"}
	action := func(required ...any) map[string]any {
		properties := map[string]any{}
		for _, name := range required {
			if name, ok := name.(string); ok {
				properties[name] = text
			}
		}
		return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	}
	providers := map[string]*definition.Provider{
		"github": {Actions: map[string]map[string]any{"get_repo": action("owner", "repo"), "get_user": action("username")}},
		"slack":  {Actions: map[string]map[string]any{"post_message": action("channel", "text")}},
	}
	if p := providers[id]; p != nil {
		return p
	}
	return &definition.Provider{Known: slices.Sorted(maps.Keys(providers))}
}

// TestCallsAreCheckedAgainstTheirFunctions: names and constant arguments, each at its position, with what was meant and the
// words of the schema.
func TestCallsAreCheckedAgainstTheirFunctions(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][]string{
		"- a: {call: http.gett}\n":                                                                              {`3:13: /do/0/a/call: there is no function "http.gett": did you mean "http"?`},
		"- a: {call: htpp, with: {method: get}}\n":                                                              {`3:13: /do/0/a/call: there is no function "htpp": did you mean "http"?`},
		"- a: {call: slak.post_mesage, with: {channel: c}}\n":                                                   {`3:13: /do/0/a/call: there is no function "slak.post_mesage": did you mean "slack.post_message"?`},
		"- a: {call: github.get_rpo, with: {}}\n":                                                               {`3:13: /do/0/a/call: there is no function "github.get_rpo": did you mean "github.get_repo"?`},
		"- a: {call: nosuchprovider.anything}\n":                                                                {`there is no provider "nosuchprovider"`},
		"- a: {call: notification.sned, with: {subject: x}}\n":                                                  {`did you mean "notification.send"?`},
		"- a: {call: notification.send, with: {categry: x, channels: [sms, emial]}}\n":                          {`3:39: /do/0/a/with/categry: notification.send: unknown field "categry": did you mean "category"?`, `/do/0/a/with/channels/1: notification.send: must be one of in_app, email, sms, push, webhook: did you mean "email"?`},
		"- a: {call: notification.send, with: {subject: '${ .s }', send_at: '${ .at }'}}\n":                     nil,
		"- a: {call: notification.send, with: {subject: [1], channels: '${ .c }'}}\n":                           {`/do/0/a/with/subject: notification.send: must be of type string`},
		"- a: {call: github.get_repo, with: {owner: weft}}\n":                                                   {`/do/0/a/with: github.get_repo: the field "repo" is required`},
		"- a: {call: github.get_repo, with: {ownr: weft, repo: '${ .r }'}}\n":                                   {`the field "owner" is required`, `/do/0/a/with/ownr: github.get_repo: unknown field "ownr": did you mean "owner"?`},
		"- a: {call: github.get_repo, with: {owner: weft, repo: '${ .r }', connection: work}}\n":                nil,
		"- a: {call: approval.request, with: {onTimeout: fial, title: x}}\n":                                    {`must be one of expire, fail: did you mean "fail"?`},
		"- a: {call: approval.request}\n":                                                                       {`the field "title" is required`},
		"- a: {call: workflow.start, with: {nmae: x}}\n":                                                        {`unknown field "nmae": did you mean "name"?`},
		"- a: {call: consent.require, with: {scop: notifications.send}}\n":                                      {`the field "scope" is required`},
		"- a: {wait: PT1S, metadata: {compensate: [{b: {call: http.gett}}]}}\n":                                 {`/do/0/a/metadata/compensate/0/b/call`},
		"- a: {try: [{b: {call: nosuch}}], catch: {do: [{c: {call: nosuch}}]}}\n- d: {set: {x: 1}, the: end}\n": {"/do/0/a/try/0/b/call", "/do/0/a/catch/do/0/c/call", `unknown field "the": did you mean "then"?`},
	} {
		faults := definition.Lint([]byte(withTasks(source)), catalog)
		if len(faults) < len(want) || len(want) == 0 && len(faults) > 0 {
			t.Errorf("%s: %v", source, faults)
			continue
		}
		for _, text := range want {
			if !slices.ContainsFunc(faults, func(f language.Fault) bool { return strings.Contains(f.Error(), text) }) {
				t.Errorf("%s: no fault %s in\n%v", source, text, faults)
			}
		}
	}
	functions := "use: {functions: {greet: {input: {schema: {document: {type: object, required: [name], properties: {name: {type: string}}}}}, set: {x: 1}}}}"
	for source, want := range map[string]string{"{name: 7}": "greet: must be of type string", "{}": `the field "name" is required`, "{name: '${ .n }'}": ""} {
		faults := definition.Lint([]byte(withTop(functions, "- a: {call: greet, with: "+source+"}\n")), catalog)
		if want == "" && len(faults) > 0 || want != "" && (len(faults) != 1 || !strings.Contains(faults[0].Message, want)) {
			t.Errorf("%s: %v, want %s", source, faults, want)
		}
	}
}

// TestHeadersThatCannotBeSentAreFaults: RFC 9110 §7.6.1 and what the connection sets itself.
func TestHeadersThatCannotBeSentAreFaults(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Host: x.test": "the header Host cannot be set", "connection: close": "the header Connection cannot be set", "Content-Length: 5": "the header Content-Length cannot be set",
		"transfer-encoding: chunked": "Transfer-Encoding", "Upgrade: h2c": "Upgrade", "TE: trailers": "Te", "'a b': x": `"a b" is not the name of a header`,
		`x-a: "a\nb"`: "the value of the header X-A", "accept: text/plain": "", "x-b: '${ .x }'": "", "x-c: 7": "",
	} {
		faults := definition.Lint([]byte(withTasks("- a: {call: http, with: {method: get, endpoint: 'https://x.test', headers: {"+header+"}}}\n")), nil)
		if want == "" && len(faults) > 0 || want != "" && (len(faults) != 1 || !strings.Contains(faults[0].Message, want) || !strings.HasPrefix(faults[0].Pointer, "/do/0/a/with/headers/")) {
			t.Errorf("%s: %v, want %s", header, faults, want)
		}
	}
}

// TestDefinitionsThatOpenTooManyTasksAreRefused: before they run, naming the limit.
func TestDefinitionsThatOpenTooManyTasksAreRefused(t *testing.T) {
	t.Parallel()
	branches := func(n int, task string) string {
		var out strings.Builder
		for i := range n {
			fmt.Fprintf(&out, "      - b%d: %s\n", i, task)
		}
		return "- a:\n    fork:\n      branches:\n" + out.String()
	}
	waits := "{wait: PT1S}"
	for name, test := range map[string]struct {
		source string
		fits   bool
	}{
		"998 waits":        {withTasks(branches(998, waits)), true},
		"999 waits":        {withTasks(branches(999, waits)), false},
		"600 nested":       {withTasks(branches(600, "{do: [{w: {wait: PT1S}}]}")), false},
		"499 nested":       {withTasks(branches(499, "{do: [{w: {wait: PT1S}}, {x: {wait: PT1S}}]}")), true},
		"through function": {withTop("use: {functions: {f: {do: [{w: {wait: PT1S}}]}}}", branches(400, "{call: f}")), false},
		"with extensions":  {withTop("use: {extensions: [{e: {extend: wait, before: [{n: {set: {x: 1}}}]}}]}", branches(600, waits)), false},
		"one by one":       {withTasks(branches(500, waits) + strings.Replace(branches(500, waits), "- a:", "- z:", 1)), true},
	} {
		faults := definition.Lint([]byte(test.source), nil)
		if test.fits != (len(faults) == 0) || !test.fits && (faults[0].Code != "too_large" || !strings.Contains(faults[0].Message, "1000 (open task runs)")) {
			t.Errorf("%s: %v", name, faults)
		}
	}
}
