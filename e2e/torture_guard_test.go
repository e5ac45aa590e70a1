//go:build torture

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// minGuardTorture is how long revocations and faults take to have an effect on everything that check requires.
const minGuardTorture = 25 * time.Second

// arrivalSlack is how long before its arrival at the provider a request may have been sent.
const arrivalSlack = 250 * time.Millisecond

// guardWorkflow makes three calls, the first of which is retried, with pauses between them.
const guardWorkflow = `document: {dsl: 1.0.3, namespace: torture, name: guard, version: 1.0.0}
do:
  - one: {call: http.get, with: {connection: shop, path: '${ "/flaky/workflow/\(.key)" }'}, output: {as: $input}}
  - pause: {wait: {milliseconds: 400}}
  - two: {call: http.get, with: {connection: shop, path: '${ "/workflow/\(.key)/2" }'}, output: {as: $input}}
  - again: {wait: {milliseconds: 400}}
  - three: {call: http.get, with: {connection: shop, path: '${ "/workflow/\(.key)/3" }'}, output: {as: $input}}
`

// guardSchedule makes a call each second.
const guardSchedule = `document: {dsl: 1.0.3, namespace: torture, name: guard-schedule, version: 1.0.0}
schedule: {every: {seconds: 1}}
do:
  - tick: {call: http.get, with: {connection: shop, path: /scheduled}}
`

// TestNothingStartsAfterRevocations: two integration processes and a workflow process act for a user over a provider, directly, with retries, in
// workflows and on a schedule, while they are frozen for longer than their lease, cut off and killed, and consents are revoked and granted again.
// The log of what arrives at the provider, together with the grants and revocations of a scope, is linearizable: nothing starts once revoke_consent has
// returned.
func TestNothingStartsAfterRevocations(t *testing.T) {
	binary, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	g := &guardTorture{t: t, p: startProcesses(t, binary, "WEFT_GATEWAY_LIMITS_ENABLED=false"), flaky: map[string]bool{}, began: time.Now()}
	provider := httptest.NewServer(g)
	defer provider.Close()
	for i, actors := range []string{"integration", "integration", "workflow"} {
		g.enforcers = append(g.enforcers, g.enforcer(fmt.Sprint(actors, "-", i), actors))
	}
	g.p.launch(g.p.run("others", "--actors", "auth,consent,notification"))
	gateway := g.p.launch(g.p.run("gateway", "--gateway", "--http", freePort(t)))
	g.client, _ = signUp(t, gateway.ready.HTTP)
	g.client.http.Timeout = 20 * time.Second
	for _, scope := range []string{subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute} {
		g.grant(scope)
	}
	shop := (&stubProvider{url: provider.URL}).connect(t, g.client, "shop")
	workflow := g.client.must(t, 201, "POST", "/v1/workflows", guardWorkflow, "Content-Type: application/yaml").text(".id")
	g.client.must(t, 201, "POST", "/v1/workflows", guardSchedule, "Content-Type: application/yaml")

	end := time.Now().Add(max(tortureDuration(t), minGuardTorture))
	var load sync.WaitGroup
	for worker := range 3 {
		load.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				path := fmt.Sprintf("/direct/%d/%d", worker, n)
				if n%3 == 0 {
					path = "/flaky" + path
				}
				_, _ = g.client.do(t.Context(), http.MethodPost, "/v1/integrations/"+shop+"/actions/get", fmt.Appendf(nil, `{"input": {"path": %q}}`, path))
				<-time.After(5 * time.Millisecond) // leaves the machine to the others
			}
		})
	}
	load.Go(func() {
		for n := 0; time.Now().Before(end); n++ {
			_, _ = g.client.do(t.Context(), http.MethodPost, "/v1/workflows/"+workflow+"/executions", fmt.Appendf(nil, `{"input": {"key": "%d"}}`, n))
			<-time.After(150 * time.Millisecond) // so that executions do not queue without end
		}
	})
	load.Go(func() { g.revokeAndGrant(end) })
	for time.Now().Before(end) {
		g.fault(g.enforcers[rand.IntN(len(g.enforcers))])
		<-time.After(time.Duration(rand.IntN(1500)) * time.Millisecond) // between two faults
	}
	load.Wait()
	g.check()
}

// guardTorture is a user's work over a provider, and the log of it.
type guardTorture struct {
	t         *testing.T
	p         *processes
	enforcers []*tortureEnforcer
	client    *client
	began     time.Time

	mu          sync.Mutex
	flaky       map[string]bool
	history     []porcupine.Operation
	arrivals    map[string]int
	faults      map[string]int
	revocations []time.Duration
}

// tortureEnforcer is a process with a guard, which reaches NATS over a proxy.
type tortureEnforcer struct {
	program program
	running *running
	proxy   *actortest.Relay
}

func (g *guardTorture) enforcer(name, actors string) *tortureEnforcer {
	e := &tortureEnforcer{program: g.p.run(name, "--actors", actors), proxy: actortest.NewRelay(g.t, g.p.nats)}
	e.program.env = append(slices.Clone(e.program.env), "WEFT_NATS_URL=nats://"+e.proxy.Address())
	e.running = g.p.launch(e.program)
	return e
}

// guardOperation is the input of an operation on a scope.
type guardOperation struct{ kind, scope, path string }

func (g *guardTorture) record(kind, scope, path string, from, to time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.history = append(g.history, porcupine.Operation{
		ClientId: len(g.history), Input: guardOperation{kind, scope, path}, Call: from.Sub(g.began).Nanoseconds(), Return: to.Sub(g.began).Nanoseconds(),
	})
}

// ServeHTTP is the provider. A path with /flaky fails at first, so that the call is retried.
func (g *guardTorture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	path := r.URL.Path
	g.record("start", subjects.ScopeIntegrationsExecute, path, at.Add(-arrivalSlack), at)
	if strings.Contains(path, "workflow") || strings.Contains(path, "scheduled") {
		g.record("start", subjects.ScopeWorkflowsExecute, path, at.Add(-arrivalSlack), at)
	}
	g.mu.Lock()
	if g.arrivals == nil {
		g.arrivals = map[string]int{}
	}
	g.arrivals[strings.Split(path, "/")[1]]++
	fails := strings.HasPrefix(path, "/flaky") && !g.flaky[path]
	g.flaky[path] = true
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if fails {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(`{}`))
}

// retry repeats a request until it has succeeded.
func (g *guardTorture) retry(path string, body string, status int) answer {
	for {
		a, err := g.client.do(g.t.Context(), http.MethodPost, path, []byte(body))
		if err == nil && a.status == status || g.t.Context().Err() != nil {
			return a
		}
		<-time.After(20 * time.Millisecond) // before the next try
	}
}

// grant grants a consent to a scope and returns its id.
func (g *guardTorture) grant(scope string) string {
	from := time.Now()
	id := g.retry("/v1/consents", fmt.Sprintf(`{"scope": %q}`, scope), http.StatusCreated).text(".id")
	g.record("grant", scope, "", from, time.Now())
	return id
}

// revokeAndGrant revokes the consents to one scope after the other, and grants them again.
func (g *guardTorture) revokeAndGrant(end time.Time) {
	for n := 0; time.Now().Before(end); n++ {
		scope := []string{subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute}[n%2]
		id := g.grant(scope)
		<-time.After(time.Duration(200+rand.IntN(800)) * time.Millisecond) // work under it
		from := time.Now()
		g.record("revoking", scope, "", from, from)
		g.retry("/v1/consents/"+id+"/revoke", `{}`, http.StatusOK)
		at := time.Now()
		g.record("revoke", scope, "", at, at)
		g.revocations = append(g.revocations, at.Sub(from))
		<-time.After(arrivalSlack + time.Duration(rand.IntN(6000))*time.Millisecond) // work that resumes now starts too late
		g.grant(scope)
	}
}

// fault freezes a process, cuts it off, or kills and restarts it.
func (g *guardTorture) fault(e *tortureEnforcer) {
	pause := time.Duration(200+rand.IntN(7500)) * time.Millisecond
	kind := []string{"freeze", "cut", "kill"}[rand.IntN(3)]
	switch kind {
	case "freeze":
		_ = e.running.cmd.Process.Signal(syscall.SIGSTOP)
		<-time.After(pause)
		_ = e.running.cmd.Process.Signal(syscall.SIGCONT)
	case "cut":
		e.proxy.Cut(true)
		<-time.After(pause)
		e.proxy.Cut(false)
	case "kill":
		e.running.kill()
		e.running = g.p.launch(e.program)
	}
	if g.faults == nil {
		g.faults = map[string]int{}
	}
	g.faults[kind]++
}

// guardModel is that of one scope: a start needs the consent; while a revocation has not returned, one may start.
func guardModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return false },
		Step: func(state, input, _ any) (bool, any) {
			switch op := input.(guardOperation); op.kind {
			case "grant":
				return true, true
			case "revoke":
				return true, false
			case "revoking":
				return true, state
			}
			return state == true, state
		},
	}
}

// check checks the history of each scope, and that a start which is added too late is found.
func (g *guardTorture) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.Sort(g.revocations)
	n := len(g.revocations)
	g.t.Logf("arrivals %v, faults %v, %d revocations", g.arrivals, g.faults, n)
	if n < 2 || g.arrivals["direct"] == 0 || g.arrivals["flaky"] == 0 || g.arrivals["workflow"] == 0 || g.arrivals["scheduled"] == 0 {
		g.t.Fatal("the torture had no effect")
	}
	g.t.Logf("revocations took %s at p50, %s at most", g.revocations[n/2], g.revocations[n-1])
	for _, scope := range []string{subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute} {
		var history []porcupine.Operation
		var revoked porcupine.Operation
		for _, o := range g.history {
			op, _ := o.Input.(guardOperation)
			if op.scope != scope {
				continue
			}
			history = append(history, o)
			if op.kind == "revoke" {
				revoked = o
			}
		}
		if result := porcupine.CheckOperationsTimeout(guardModel(), history, time.Minute); result != porcupine.Ok {
			g.t.Errorf("the starts under %s are not linearizable: %s", scope, result)
			g.explain(history)
		}
		late := porcupine.Operation{ClientId: len(history), Input: guardOperation{kind: "start", scope: scope}, Call: revoked.Return + 1, Return: revoked.Return + 2}
		if porcupine.CheckOperationsTimeout(guardModel(), append(history, late), time.Minute) == porcupine.Ok {
			g.t.Errorf("a start after a revocation of %s is not found", scope)
		}
	}
}

// explain logs the starts between a revocation and the next grant.
func (g *guardTorture) explain(history []porcupine.Operation) {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Return - b.Return) })
	revoked := int64(-1)
	for _, o := range history {
		switch op, _ := o.Input.(guardOperation); op.kind {
		case "grant":
			revoked = -1
		case "revoke":
			revoked = o.Return
		case "start":
			if revoked >= 0 && o.Call > revoked {
				g.t.Logf("%s arrived %s after the revocation", op.path, time.Duration(o.Return-revoked))
			}
		}
	}
}
