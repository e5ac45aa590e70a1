package workflow_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestExtensionCalls calls functions of an extension: what they get, how calls are repeated, and what their answers become.
func TestExtensionCalls(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		acme := enroll(t, b, "acme")
		var flaky, busy atomic.Int64
		var payload atomic.Value
		acme.run(t, "1.0.0", map[string]served{
			"price": {meta(`{"type":"object","required":["sku"],"properties":{"sku":{"type":"string"}},"additionalProperties":false}`,
				`{"type":"object","required":["price"],"properties":{"price":{"type":"number"}}}`, "safety", "read", "summary", "The price."),
				func(r micro.Request) { payload.Store(string(r.Data())); answer(`{"price":12.5}`)(r) }},
			"flaky": {meta(anything, "", "safety", "idempotent"), func(r micro.Request) {
				if flaky.Add(1) < 3 {
					fail("500", "try again")(r)
					return
				}
				answer(`"done"`)(r)
			}},
			"busy": {meta(anything, ""), func(r micro.Request) {
				if busy.Add(1) < 2 {
					fail("503", "not now")(r)
					return
				}
				answer(`"done"`)(r)
			}},
			"once":    {meta(anything, "", "safety", "write-once"), fail("500", "broken")},
			"reject":  {meta(anything, "", "safety", "read"), fail("404", "no such order")},
			"code":    {meta(anything, ""), fail("OUT_OF_STOCK", strings.Repeat("x", 4000))},
			"empty":   {meta(anything, ""), answer(``)},
			"send":    {meta(anything, "", "scope", subjects.ScopeNotificationsSend), answer(`1`)},
			"slow":    {meta(anything, "", "timeout", "1s"), nothing},
			"long":    {meta(anything, "", "timeout", "1s", "heartbeat", "1s"), beats(400*time.Millisecond, 4, `"at last"`)},
			"silent":  {meta(anything, "", "timeout", "30s", "heartbeat", "1s"), beats(100*time.Millisecond, 1, "")},
			"hang":    {meta(anything, "", "timeout", "30s"), nothing},
			"invalid": {meta(anything, "", "safety", "read"), answer(`{"a":`)},
			"deep":    {meta(anything, ""), answer(strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000))},
			"large":   {meta(anything, ""), answer(`"` + strings.Repeat("x", 300<<10) + `"`)},
			"wrong":   {meta(anything, `{"type":"string","minLength":3}`), answer(`"no"`)},
			"late": {meta(anything, "", "safety", "idempotent", "timeout", "1s"), func(r micro.Request) {
				if r.Headers().Get("Weft-Call-Attempt") == "1" {
					beats(1200*time.Millisecond, 1, `"old"`)(silentRequest{r})
					return
				}
				beats(400*time.Millisecond, 1, `"new"`)(r)
			}},
			"flood": {meta(anything, ""), func(r micro.Request) {
				for range 30_000 {
					_ = r.Respond([]byte("+WPI"))
				}
			}},
			"huge": {meta(anything, "", "timeout", "1s"), func(r micro.Request) { _ = r.Respond(make([]byte, 100<<20)) }},
			"chatty": {meta(anything, ""), func(r micro.Request) {
				for range 500 {
					answer(`"again"`)(r)
				}
			}},
		})
		for name, test := range map[string]struct {
			call, output, fault string
			status, calls       int
		}{
			"price":                     {call: "acme.price, with: {sku: a1}", output: `{"price":12.5}`, calls: 1},
			"arguments of an execution": {call: "acme.price, with: {sku: '${ .n }'}", fault: "validation", status: 400, calls: -1},
			"a failure is repeated":     {call: "acme.flaky", output: `"done"`, calls: 3},
			"not started is repeated":   {call: "acme.busy", output: `"done"`, calls: 2},
			"write-once is not":         {call: "acme.once", fault: "communication", status: 500, calls: 1},
			"4xx is not":                {call: "acme.reject", fault: "communication", status: 404, calls: 1},
			"a code of its own":         {call: "acme.code", fault: "communication", status: 500, calls: 1},
			"no output":                 {call: "acme.empty", output: `null`, calls: 1},
			"no consent":                {call: "acme.send", fault: "authorization", status: 403, calls: 0},
			"a time-out":                {call: "acme.slow", fault: "timeout", status: 408, calls: 1},
			"heartbeats":                {call: "acme.long", output: `"at last"`, calls: 1},
			"no heartbeat":              {call: "acme.silent", fault: "timeout", status: 408, calls: 1},
			"invalid JSON":              {call: "acme.invalid", fault: "communication", status: 500, calls: 1},
			"too deep":                  {call: "acme.deep", fault: "communication", status: 500, calls: 1},
			"too large":                 {call: "acme.large", fault: "runtime", status: 500, calls: 1},
			"another output":            {call: "acme.wrong", fault: "communication", status: 502, calls: 1},
			"a late answer":             {call: "acme.late", output: `"new"`, calls: 2},
			"many heartbeats":           {call: "acme.flood", fault: "communication", status: 500, calls: 1},
			"100 MB":                    {call: "acme.huge", fault: "timeout", status: 408, calls: 1},
			"many answers":              {call: "acme.chatty", output: `"again"`, calls: 1},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := b.run(t, "- go: {call: "+test.call+"}\n", `{"n": 1}`)
				if test.fault == "" {
					wantOutput(t, e, test.output)
				} else {
					wantFault(t, e, test.fault, test.status)
					if len(e.Error.Detail) > 1000 {
						t.Errorf("the fault has %d bytes", len(e.Error.Detail))
					}
				}
				function := strings.FieldsFunc(test.call, func(r rune) bool { return r == ',' || r == '.' })[1]
				if n := acme.count(function); test.calls >= 0 && n < test.calls || n > max(test.calls, 1) {
					t.Errorf("the extension was called %d times, want %d", n, test.calls)
				}
				if function == "slow" {
					if reason := acme.cancelled(t, acme.received("slow")[0].Get("Weft-Call-Id")); reason != "timeout" {
						t.Errorf("the copies received %q", reason)
					}
				}
			})
		}
		t.Run("cancelled", func(t *testing.T) {
			t.Parallel()
			e := b.startNew(t, "- go: {call: acme.hang}\n", `{}`)
			actortest.Eventually(t, "the function is called", func() bool { return acme.count("hang") == 1 })
			call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: e.ID})
			if reason := acme.cancelled(t, acme.received("hang")[0].Get("Weft-Call-Id")); reason != "cancelled" {
				t.Errorf("the copies received %q", reason)
			}
		})
	})
}

// TestExtensionHeaders verifies the signature of a call as an extension does, with what the endpoint of the keys answers.
func TestExtensionHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	acme := enroll(t, b, "acme")
	received := make(chan micro.Request, 10)
	acme.run(t, "1.0.0", map[string]served{"price": {meta(anything, "", "safety", "read"), func(r micro.Request) {
		received <- r
		if len(received) == 1 {
			fail("500", "again")(r)
			return
		}
		answer(`1`)(r)
	}}})
	e := b.run(t, "- go: {call: acme.price, with: {a: 1}}\n", `{}`)
	wantOutput(t, e, `1`)
	first, second := <-received, <-received
	for _, header := range []string{"Weft-Call-Key", "Weft-User-Id", "Weft-Execution-Id", "Weft-Grant-Id", "Weft-Function-Version"} {
		if first.Headers().Get(header) == "" || first.Headers().Get(header) != second.Headers().Get(header) {
			t.Errorf("%s: %q, then %q", header, first.Headers().Get(header), second.Headers().Get(header))
		}
	}
	if first.Headers().Get("Weft-Call-Id") == second.Headers().Get("Weft-Call-Id") || second.Headers().Get("Weft-Call-Attempt") != "2" {
		t.Error("the attempts have the same id, or are not counted")
	}
	conn := acme.connect()
	reply, err := conn.Request(subjects.GetExtensionKeys.Describe().EnrolledSubject(subjects.KindExtension, "acme"), nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var keys subjects.ExtensionKeys
	if err := json.Unmarshal(reply.Data, &keys); err != nil || len(keys.Keys) != 1 {
		t.Fatalf("keys %s: %v", reply.Data, err)
	}
	public, err := base64.RawURLEncoding.DecodeString(keys.Keys[0].X)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	h := second.Headers()
	err = mesh.ParseJWS(h.Get("Weft-Call-Signature"), "weft-call+jwt", 4096, &claims, func(kid string) (ed25519.PublicKey, bool) {
		return public, kid == keys.Keys[0].KeyID
	})
	sum := sha256.Sum256(second.Data())
	for name, want := range map[string]any{
		"iss": actortest.Issuer, "aud": second.Subject(), "sub": b.user, "jti": h.Get("Weft-Call-Id"), "call_key": h.Get("Weft-Call-Key"),
		"execution_id": e.ID, "consent_id": h.Get("Weft-Grant-Id"), "scope": subjects.ScopeWorkflowsExecute, "deadline": h.Get("Weft-Deadline"),
		"function_version": h.Get("Weft-Function-Version"), "payload_sha256": base64.RawURLEncoding.EncodeToString(sum[:]), "traceparent": h.Get("traceparent"),
	} {
		if err != nil || claims[name] != want {
			t.Errorf("claim %s is %v, want %v (%v)", name, claims[name], want, err)
		}
	}
	if h.Get("Authorization") != "" {
		t.Error("the extension got a token")
	}
}

// TestExtensionAbsent calls an extension that is down: a call waits for it, and fails after max_wait. Revoked, it is refused.
func TestExtensionAbsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		fault := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, workflowOf("- go: {call: acme.price}\n"))})
		if !strings.Contains(fault.Detail, "there is no provider") {
			t.Errorf("before the enrolment: %v", fault)
		}
		acme := enroll(t, b, "acme")
		functions := map[string]served{"price": {meta(anything, ""), answer(`1`)}}
		eventually(t, "the enrolment is known", func() bool {
			fault = wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{
				Definition: yaml(t, workflowOf("- go: {call: acme.price}\n"))})
			return strings.Contains(fault.Detail, "has never run") && fault.Fields[0].Line == 3
		})
		stop := acme.run(t, "1.0.0", functions)
		list := call(t, b, subjects.ListFunctions, subjects.ListFunctionsRequest{Extension: "acme"})
		if f := list.Items[0]; f.Name != "acme.price" || f.Extension != "acme" || f.Safety != "write_once" || f.Version == "" {
			t.Errorf("the function is %+v", f)
		}
		id := b.create(t, "- go: {call: acme.price}\n")
		stop()
		// After a restart what is stored is known.
		_ = b.host.Stop(t)
		b.host = b.start(t)
		execute := func() subjects.Execution {
			return call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id, Timeout: 30})
		}
		e := execute()
		wantFault(t, e, "communication", http.StatusServiceUnavailable)
		if !strings.Contains(e.Error.Detail, "no copy of the extension") {
			t.Errorf("the fault is %+v", e.Error)
		}
		b.create(t, "- go: {call: acme.price}\n") // its functions are known while it is down
		waiting := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: id})
		acme.start(t, "1.0.0", functions)
		acme.start(t, "1.0.0", functions)
		wantOutput(t, b.awaitStatus(t, waiting.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `1`)
		admin := mesh.As{Token: b.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
		eventually(t, "both copies are listed", func() bool {
			page, err := mesh.Call(t.Context(), b.conn, subjects.ListExtensions, subjects.PageRequest{}, admin)
			return err == nil && len(page.Items) == 1 && page.Items[0].State == "up" && page.Items[0].Copies == 2 && page.Items[0].LastSeenAt != nil &&
				page.Items[0].Functions[0].Copies == 2
		})
		wantCode(t, b, subjects.CodeForbidden, subjects.ListExtensions, b.as, subjects.PageRequest{})
		before := acme.count("price")
		for range 10 {
			wantOutput(t, execute(), `1`)
		}
		if n := acme.count("price") - before; n != 10 {
			t.Errorf("10 calls were delivered %d times", n)
		}
		if b.host.Metric(t, "workflow_extension_calls_total", "acme", "absent") != 1 || b.host.Metric(t, "workflow_extension_calls_total", "acme", "completed") != 11 {
			t.Error("the calls are not counted")
		}
		b.mesh.Expel(t, subjects.KindExtension, "acme")
		wantFault(t, execute(), "configuration", 400)
	})
}

// TestExtensionVersions: a definition is bound to the version of a function that it was checked with.
func TestExtensionVersions(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		acme := enroll(t, b, "acme")
		const one, two = `{"type":"object","required":["a"]}`, `{"type":"object","required":["b"]}`
		stop := acme.run(t, "1.9.0", map[string]served{"f": {meta(one, "", "summary", "One."), answer(`1`)}})
		wrong := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, workflowOf("- go: {call: acme.f, with: {b: 1}}\n"))})
		if len(wrong.Fields) != 1 || wrong.Fields[0].Line != 3 || !strings.Contains(wrong.Fields[0].Message, "acme.f") {
			t.Errorf("the faults are %+v", wrong.Fields)
		}
		unknown := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, workflowOf("- go: {call: acme.g}\n"))})
		if !strings.Contains(unknown.Detail, `did you mean "acme.f"`) && !strings.Contains(unknown.Detail, "it has f") {
			t.Errorf("the fault is %v", unknown)
		}
		source := yaml(t, workflowOf("- go: {call: acme.f, with: {a: 1, b: 1}}\n"))
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: source})
		execute := func() subjects.Execution {
			return call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID, Timeout: 30})
		}
		wantOutput(t, execute(), `1`)
		// Both are served: the definition's version is still called.
		acme.run(t, "1.10.0", map[string]served{"f": {meta(two, "", "summary", "Two."), answer(`1`)}})
		wantOutput(t, execute(), `1`)
		stop()
		eventually(t, "the old version is served no more", func() bool {
			list := call(t, b, subjects.ListFunctions, subjects.ListFunctionsRequest{Extension: "acme"})
			return len(list.Items) == 1 && list.Items[0].Doc == "Two."
		})
		e := execute()
		wantFault(t, e, "configuration", http.StatusConflict)
		if !strings.Contains(e.Error.Detail, "store the workflow again") {
			t.Errorf("the fault is %+v", e.Error)
		}
		if next := call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: w.ID, Definition: source}); next.Version != 2 {
			t.Errorf("storing it again made version %d", next.Version)
		}
		wantOutput(t, execute(), `1`)
		if same := call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: w.ID, Definition: source}); same.Version != 2 {
			t.Errorf("storing it once more made version %d", same.Version)
		}
	})
}

// TestExtensionConsent: after a revocation nothing starts.
func TestExtensionConsent(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	b.mesh.Consent(t, b.user, subjects.ScopeNotificationsSend)
	acme := enroll(t, b, "acme")
	acme.run(t, "1.0.0", map[string]served{"send": {meta(anything, "", "scope", subjects.ScopeNotificationsSend), answer(`1`)}})
	id := b.create(t, "- go: {call: acme.send}\n")
	execute := func() subjects.Execution {
		return call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id, Timeout: 30})
	}
	wantOutput(t, execute(), `1`)
	b.mesh.Revoke(t, b.user, subjects.ScopeNotificationsSend)
	wantFault(t, execute(), "authorization", 403)
	if n := acme.count("send"); n != 1 {
		t.Errorf("the extension was called %d times, want 1", n)
	}
}

// TestExtensionTakeover kills a process during calls: one that must not be repeated is not, another is, with the same key.
func TestExtensionTakeover(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		acme := enroll(t, b, "acme")
		var again atomic.Int64
		acme.run(t, "1.0.0", map[string]served{
			"once": {meta(anything, "", "safety", "write-once"), nothing},
			"many": {meta(anything, "", "safety", "idempotent"), func(r micro.Request) {
				if again.Add(1) > 1 {
					answer(`1`)(r)
				}
			}},
		})
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		// The functions are known from what the process has stored that has ended.
		once, many := b.startNew(t, "- pay: {call: acme.once}\n", `{}`), b.startNew(t, "- pay: {call: acme.many}\n", `{}`)
		eventually(t, "both functions are called", func() bool { return acme.count("once") == 1 && acme.count("many") == 1 })
		kill()
		b.start(t)
		got := b.awaitStatus(t, once.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		if got.Status != subjects.ExecutionFaulted || got.Error.Type != "urn:weft:error:unknown-outcome" || acme.count("once") != 1 {
			t.Errorf("the execution is %s with %+v after %d calls", got.Status, got.Error, acme.count("once"))
		}
		wantOutput(t, b.awaitStatus(t, many.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `1`)
		calls := acme.received("many")
		if len(calls) != 2 || calls[0].Get("Weft-Call-Key") != calls[1].Get("Weft-Call-Key") {
			t.Errorf("the calls have the headers %v", calls)
		}
	})
}

// TestExtensionMetadata reads hostile and wrong declarations: each is listed with its fault, and the others can be called.
func TestExtensionMetadata(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	acme := enroll(t, b, "acme")
	with := func(more ...string) map[string]string { return meta(anything, "", more...) }
	wrong := map[string]map[string]string{
		"none": nil, "no_json": meta(`{`, ""), "no_object": meta(`[]`, ""), "no_schema": meta(`{"type":"nonsense"}`, ""), "output": meta(anything, `{"type":1}`),
		"safety": with("safety", "sure"), "timeout": with("timeout", "1d"), "short": with("timeout", "1ms"), "endless": with("timeout", "100h"),
		"heartbeat": with("timeout", "5s", "heartbeat", "6s"), "scope": with("scope", "admin"), "typo": with("saftey", "read"),
		"remote":  meta(`{"$ref":"http://169.254.169.254/schema"}`, ""),
		"pattern": meta(`{"pattern":"`+strings.Repeat("(a*)*", 2000)+`("}`, ""),
		"deep":    meta(strings.Repeat(`{"not":`, 5000)+`{}`+strings.Repeat("}", 5000), ""),
		"huge":    meta(`{"enum":["`+strings.Repeat("x", 65<<10)+`"]}`, ""),
		"Upper":   with(),
	}
	functions := map[string]served{"good": {with("summary", "a\x00b\x1b[31m"+strings.Repeat("s", 5000)), answer(`1`)}}
	for name, metadata := range wrong {
		functions[name] = served{metadata, answer(`1`)}
	}
	acme.run(t, "1.0.0", functions)
	var list subjects.FunctionList
	eventually(t, "the functions are listed", func() bool {
		list = call(t, b, subjects.ListFunctions, subjects.ListFunctionsRequest{Extension: "acme"})
		return len(list.Items) == len(functions)
	})
	for _, f := range list.Items {
		if good := f.Name == "acme.good"; good != (f.Fault == "") || len(f.Fault) > 600 || len(f.Doc) > 600 || strings.ContainsAny(f.Doc, "\x00\x1b") {
			t.Errorf("%s has the fault %q and the description %.40q", f.Name, f.Fault, f.Doc)
		}
	}
	fault := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{
		Definition: yaml(t, workflowOf("- go: {call: acme.safety}\n"))})
	if !strings.Contains(fault.Detail, "cannot be called: weft.safety") {
		t.Errorf("the fault is %v", fault)
	}
	wantOutput(t, b.run(t, "- go: {call: acme.good}\n", `{}`), `1`)
	all := call(t, b, subjects.ListFunctions, subjects.ListFunctionsRequest{})
	if !slices.ContainsFunc(all.Items, func(f subjects.WorkflowFunction) bool { return f.Name == "acme.good" }) {
		t.Error("the list of all functions has none of the extension")
	}
	wantCode(t, b, subjects.CodeNotFound, subjects.ListFunctions, b.as, subjects.ListFunctionsRequest{Extension: "other"})
	wantCode(t, b, subjects.CodeInvalid, subjects.ListFunctions, b.as, subjects.ListFunctionsRequest{Extension: "acme", Provider: "github"})
}

// TestExtensionImpostor: what another extension answers about an extension is not read, nor what it would answer to its calls.
func TestExtensionImpostor(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	acme := enroll(t, b, "acme")
	evil := enroll(t, b, "evil")
	conn := evil.connect()
	for _, subject := range []string{"$SRV.INFO.acme", subjects.FunctionSubject("acme", "f"), "$SRV.INFO", mesh.FunctionInbox("acme") + ".>"} {
		_, err := conn.Subscribe(subject, func(m *nats.Msg) {
			_ = m.Respond([]byte(`{"type":"io.nats.micro.v1.info_response","name":"acme","id":"1","version":"1.0.0","endpoints":[
				{"subject":"weft.ext.v1.acme.f","queue_group":"q","metadata":{"weft.input":"{}"}}]}`))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	evil.run(t, "1.0.0", map[string]served{"f": {meta(anything, ""), answer(`1`)}})
	var page subjects.Page[subjects.ExtensionState]
	admin := mesh.As{Token: b.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
	eventually(t, "the extension is listed", func() bool {
		var err error
		page, err = mesh.Call(t.Context(), b.conn, subjects.ListExtensions, subjects.PageRequest{}, admin)
		return err == nil && len(page.Items) == 2 && page.Items[1].State == "up"
	})
	if page.Items[0].State != "down" || len(page.Items[0].Functions) != 0 {
		t.Errorf("the impostor is believed: %+v", page.Items[0])
	}
	// weft's answer to a request goes to inboxes of who may make it only: an extension cannot have weft call another one.
	victim := make(chan *nats.Msg, 1)
	_, err := acme.connect().Subscribe(subjects.FunctionSubject("acme", "f"), func(m *nats.Msg) { victim <- m })
	if err != nil {
		t.Fatal(err)
	}
	keys := subjects.GetExtensionKeys.Describe().EnrolledSubject(subjects.KindExtension, "evil")
	for _, reply := range []string{subjects.FunctionSubject("acme", "f"), mesh.FunctionInbox("acme") + ".a", "_INBOX_gateway.a"} {
		if err := conn.PublishRequest(keys, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Request(keys, nil, 5*time.Second); err != nil { // after the others
		t.Error(err)
	}
	select {
	case m := <-victim:
		t.Errorf("the extension received %s", m.Data)
	default:
	}
	small, err := mesh.Call(t.Context(), b.conn, subjects.ListExtensions, subjects.PageRequest{Limit: 1}, admin)
	if err != nil || len(small.Items) != 1 || small.NextCursor == "" {
		t.Fatalf("the first page is %+v, %v", small, err)
	}
	rest, err := mesh.Call(t.Context(), b.conn, subjects.ListExtensions, subjects.PageRequest{Limit: 1, Cursor: small.NextCursor}, admin)
	if err != nil || len(rest.Items) != 1 || rest.Items[0].Name != "evil" || rest.NextCursor != "" {
		t.Errorf("the second page is %+v, %v", rest, err)
	}
}
