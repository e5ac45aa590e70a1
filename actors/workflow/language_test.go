package workflow_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// TestValidationFindsEverythingInOnePass: misspelt functions, actions, arguments and fields, with positions and what was
// meant; and the same at creation.
func TestValidationFindsEverythingInOnePass(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	source := workflowOf(`
- a: {call: http.gett}
- b: {call: githb.get, with: {repo: x}}
- c: {call: github.gett}
- d: {call: notification.send, with: {categry: x}, thn: end}
- e: {call: http, with: {method: get, endpoint: 'https://x.test/${ .id }', headers: {Host: y}}}
- f: {try: [{g: {wait: PT1S}}], catch: {when: '${ .status == 503 }'}}
`)
	v := call(t, b, subjects.ValidateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, source)})
	for _, want := range []string{
		`/do/0/a/call: there is no function "http.gett": did you mean "http"?`, `/do/1/b/call: there is no function "githb.get": there is no provider "githb"`,
		`/do/2/c/call: there is no function "github.gett": did you mean "github.get"?`, `/do/3/d/with/categry: notification.send: unknown field "categry": did you mean "category"?`,
		`/do/3/d/thn: unknown field "thn": did you mean "then"?`, `/do/4/e/with/endpoint: an expression must be the whole value: write ${ "https://x.test/\(.id)" }`,
		`/do/4/e/with/headers/Host: the header Host cannot be set`,
	} {
		if !slices.ContainsFunc(v.Faults, func(f subjects.WorkflowFault) bool {
			return strings.Contains(f.Pointer+": "+f.Message, want) && f.Line > 3 && f.Column > 1
		}) {
			t.Errorf("no fault %s", want)
		}
	}
	if len(v.Warnings) != 1 || v.Warnings[0].Pointer != "/do/5/f/catch/when" || !strings.Contains(v.Warnings[0].Message, "$error.status") {
		t.Errorf("warnings %+v", v.Warnings)
	}
	err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{Definition: yaml(t, source)})
	if len(err.Fields) != len(v.Faults) {
		t.Errorf("creation reports %d faults, validation %d: %v", len(err.Fields), len(v.Faults), v.Faults)
	}
}

// TestReceivedJSONIsReadStrictly: what cannot be kept as it is, is refused by name wherever JSON enters.
func TestReceivedJSONIsReadStrictly(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	id := b.create(t, "- get: {call: http, with: {method: get, endpoint: '"+server.URL+"'}}\n")
	for given, want := range map[string]string{
		`{"n":1e400}`: "1e400 is out of range", `{"n":1,"n":2}`: `"n" occurs twice`, `{"n":"\ud800"}`: "surrogate", `{"n":NaN}`: "not valid JSON",
		strings.Repeat("[", 200) + strings.Repeat("]", 200): "128 levels",
	} {
		body = given
		e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id})
		wantFault(t, e, "communication", 500)
		if !strings.Contains(e.Error.Detail, want) {
			t.Errorf("an answer %.40s: %+v", given, e.Error)
		}
		event := `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + given + `}`
		err := wantCode(t, b, subjects.CodeInvalid, subjects.PublishEvent, b.as, subjects.PublishEventRequest{
			Body: []byte(event), Headers: map[string]string{"Content-Type": "application/cloudevents+json"}})
		if !strings.Contains(err.Detail, want) {
			t.Errorf("an event with %.40s: %v", given, err)
		}
	}
	body = `{"n":1234567890123456.789}`
	wantOutput(t, call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id}), body)
}

// TestConnectionHeaders: what the language refuses, the client of outbound calls refuses too.
func TestConnectionHeaders(t *testing.T) {
	t.Parallel()
	client, err := egress.New(egress.Options{AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range language.ConnectionHeaders {
		_, err := client.Do(t.Context(), egress.Request{URL: "http://127.0.0.1:1/", Header: http.Header{name: {"x"}}})
		if egress.KindOf(err) != egress.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnreachableServersFaultAtOnce: nothing listens; the definition says whether the call is repeated.
func TestUnreachableServersFaultAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	wantFault(t, b.run(t, "- get: {call: http, with: {method: get, endpoint: 'http://"+address+"/'}}\n", `{}`), "communication", 503)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("the fault took %s", took)
	}
}

// TestSchedulesOfSeveralKinds: events, intervals and the end of runs each start runs of one schedule.
func TestSchedulesOfSeveralKinds(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, s := c.createScheduled(t, scheduled("every: {hours: 1}, cron: '30 * * * *', after: PT0.3S, on: {one: {with: {type: order.placed}}}", "", echoTasks))
		if !slices.Equal(s.Kinds, []string{"cron", "every", "after", "on"}) || s.Seconds != 3600 || s.AfterSeconds != 0.3 || s.Cron == "" || len(s.NextRuns) == 0 {
			t.Errorf("the schedule is %+v", s)
		}
		eventually(t, "two runs follow one another", func() bool { return len(c.getSchedule(t, s.ID).RecentRuns) >= 2 })
		started := call(t, c.bundle, subjects.PublishEvent, subjects.PublishEventRequest{
			Event: json.RawMessage(`{"specversion":"1.0","id":"1","source":"/s","type":"order.placed","data":{"n":1}}`)})
		if len(started.Started) != 1 {
			t.Errorf("the event started %v", started.Started)
		}
		call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID})
		before := len(c.listExecutions(t, id))
		call(t, c.bundle, subjects.ResumeSchedule, subjects.ScheduleRequest{ScheduleID: s.ID})
		eventually(t, "runs continue", func() bool { return len(c.listExecutions(t, id)) > before })
	})
}
