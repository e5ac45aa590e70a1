//go:build torture

package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

const (
	// stormClients run executions at the same time.
	stormClients = 4
	// stormSettled bounds how long what was acknowledged may take to end once the storm is over.
	stormSettled = 3 * time.Minute
)

// stormWorkflow calls three steps, one after the other, tells the user, and ends with what came in.
const stormWorkflow = `document: {dsl: 1.0.3, namespace: torture, name: storm, version: 1.0.0}
do:
  - one:
      call: http.get
      with: {connection: shop, path: '${ "/\(.key)/1" }'}
      output: {as: '${ $input + {seen: [.body.path]} }'}
  - two:
      call: http.get
      with: {connection: shop, path: '${ "/\(.key)/2" }'}
      output: {as: '${ $input + {seen: ($input.seen + [.body.path])} }'}
  - three:
      call: http.get
      with: {connection: shop, path: '${ "/\(.key)/3" }'}
      output: {as: '${ $input + {seen: ($input.seen + [.body.path])} }'}
  - tell:
      call: notification.send
      with: {category: workflow, subject: '${ .key }', body: Done.}
      output: {as: '${ $input }'}
`

// A storm of kill -9 over `weft up`, as long as WEFT_TORTURE_DURATION says, while clients run executions, send
// notifications and take consents back. What weft has acknowledged holds: every execution ends once and rightly, no step
// that was done is done again, every notification is in the inbox once, and a revoked consent stays refused.
func TestKillStorm(t *testing.T) {
	s := newStorm(t)
	var clients sync.WaitGroup
	for range stormClients {
		clients.Go(s.runExecutions)
	}
	clients.Go(s.sendNotifications)
	clients.Go(s.revokeConsents)
	s.rage()
	s.over.Store(true)
	clients.Wait()
	s.settle()
	t.Logf("%d kills, %d executions, %d notifications, %d revocations (%d refused calls)",
		s.kills, len(s.executions), len(s.notifications), s.revocations, s.refused)
	if s.kills == 0 || len(s.executions) == 0 || len(s.notifications) == 0 || s.revocations == 0 {
		t.Error("the storm has done nothing")
	}
}

// storm is a weft that is killed again and again, its clients, and what it has acknowledged to them.
type storm struct {
	t    *testing.T
	weft program
	url  string
	shop *provider
	over atomic.Bool

	kills                int
	mu                   sync.Mutex
	executions           map[string]string // id by key
	notifications        []string
	revocations, refused int
	// reached is the furthest step that the shop has seen of each key.
	reached map[string]int

	runner, sender *client
	workflow       string
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	path, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := &storm{t: t, executions: map[string]string{}, reached: map[string]int{}, shop: startProvider(t, nil)}
	s.shop.onCall = s.sawCall
	address := freePort(t)
	s.url = "http://" + address
	s.weft = program{
		name: "weft", path: path, env: cleanEnvironment(append(testSettings(), "WEFT_METRICS_PORT=-1", "WEFT_LOG_LEVEL=warn", "WEFT_AUTH_ACCESS_TTL=24h")...),
		args: []string{"up", "--dev", "--data", t.TempDir(), "--http", address, "--nats", freePort(t), "--json"},
	}
	first := s.start()
	s.runner, _ = signUp(t, s.url)
	s.runner.grant(t, subjects.ScopeIntegrationsExecute, subjects.ScopeWorkflowsExecute)
	s.shop.connect(t, s.runner, "shop")
	s.workflow = s.runner.must(t, 201, "POST", "/v1/workflows", stormWorkflow, "Content-Type: application/yaml").text(".id")
	s.sender, _ = signUp(t, s.url)
	first.kill()
	return s
}

func (s *storm) start() *running {
	s.t.Helper()
	r, err := start(s.weft)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// rage starts and kills weft until the time is over, and leaves it running then.
func (s *storm) rage() {
	for end := time.Now().Add(tortureDuration(s.t)); time.Now().Before(end); s.kills++ {
		r := s.start()
		<-time.After(time.Duration(rand.IntN(1500)) * time.Millisecond) // the storm's own rhythm
		r.kill()
	}
	last := s.start()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Log(last.lastWords())
		}
		if err := last.stop(); err != nil {
			s.t.Error(err)
		}
	})
}

// sawCall checks a call at the shop: once a step has been called, the ones before it are done and not called again.
func (s *storm) sawCall(path string) {
	key, text, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	step, err := strconv.Atoi(text)
	if !ok || err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if step < s.reached[key] {
		s.t.Errorf("step %d of %s is called again, after step %d", step, key, s.reached[key])
	}
	s.reached[key] = max(step, s.reached[key])
}

// insist repeats a request until it has one of the statuses, over however many kills. Statuses that a dying or starting
// weft may give are passed over; any other fails the test at once.
func (s *storm) insist(c *client, method, path string, body any, wanted ...int) (answer, bool) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			s.t.Error(err)
			return answer{}, false
		}
	}
	passing := []int{http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	var a answer
	err := eventually(func() (bool, string) {
		var err error
		if a, err = c.do(s.t.Context(), method, path, data); err != nil {
			return false, err.Error()
		}
		return !slices.Contains(passing, a.status), a.String()
	})
	if err == nil && !slices.Contains(wanted, a.status) {
		err = fmt.Errorf("it answered %s", a)
	}
	if err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
	return a, err == nil
}

// runExecutions starts one execution after the other. The id is the client's own, so that a start whose answer was lost
// can be repeated.
func (s *storm) runExecutions() {
	for !s.over.Load() {
		key, id := uuid.NewString(), uuid.Must(uuid.NewV7()).String()
		_, ok := s.insist(s.runner, http.MethodPost, "/v1/workflows/"+s.workflow+"/executions",
			map[string]any{"execution_id": id, "input": map[string]any{"key": key}}, http.StatusAccepted)
		if !ok {
			return
		}
		s.mu.Lock()
		s.executions[key] = id
		s.mu.Unlock()
	}
}

func (s *storm) sendNotifications() {
	for !s.over.Load() {
		key := uuid.NewString()
		_, ok := s.insist(s.sender, http.MethodPost, "/v1/notifications",
			map[string]any{"category": "system", "subject": key, "dedupe_key": key}, http.StatusAccepted)
		if !ok {
			return
		}
		s.notifications = append(s.notifications, key)
	}
}

// revokeConsents takes a consent back and then tries to act, until it gives another.
func (s *storm) revokeConsents() {
	c := newClient(s.url)
	credentials := map[string]any{"email": uuid.NewString() + "@example.com", "password": password}
	s.insist(c, http.MethodPost, "/v1/auth/register", credentials, http.StatusAccepted)
	session, ok := s.insist(c, http.MethodPost, "/v1/auth/login", credentials, http.StatusOK)
	if !ok {
		return
	}
	c.token = session.text(".access_token")
	connected, ok := s.insist(c, http.MethodPost, "/v1/integrations", s.shop.connection("own"), http.StatusCreated)
	for action := "/v1/integrations/" + connected.text(".id") + "/actions/get"; ok && !s.over.Load(); {
		key := uuid.NewString()
		call := map[string]any{"input": map[string]any{"path": "/revoked-" + key}}
		var granted answer
		granted, ok = s.insist(c, http.MethodPost, "/v1/consents", map[string]any{"scope": subjects.ScopeIntegrationsExecute}, http.StatusCreated)
		if ok {
			_, ok = s.insist(c, http.MethodPost, "/v1/consents/"+granted.text(".id")+"/revoke", map[string]any{}, http.StatusOK)
		}
		for range 20 {
			if !ok {
				return
			}
			_, ok = s.insist(c, http.MethodPost, action, call, http.StatusForbidden)
			s.refused++
		}
		if n := s.shop.count("/revoked-" + key); n != 0 {
			s.t.Errorf("%d calls started after revoke_consent had returned", n)
		}
		s.revocations++
	}
}

// settle waits until everything that was acknowledged has ended, and looks at it.
func (s *storm) settle() {
	deadline := time.Now().Add(stormSettled)
	for key, id := range s.executions {
		var a answer
		for a.text(".ended_at") == "" && time.Now().Before(deadline) {
			var ok bool
			if a, ok = s.insist(s.runner, http.MethodGet, "/v1/executions/"+id, nil, http.StatusOK); !ok {
				return
			}
		}
		want := fmt.Sprintf(`["/%s/1","/%s/2","/%s/3"]`, key, key, key)
		if a.text(".status") != subjects.ExecutionCompleted || a.text(".output.seen") != want || a.text(".output.key") != key {
			s.t.Errorf("execution %s of %s is %s", id, key, a)
		}
		history, _ := s.insist(s.runner, http.MethodGet, "/v1/executions/"+id+"/history?limit=100", nil, http.StatusOK)
		if ends := history.text(`[.items[] | select(.type | test("^execution_(completed|faulted|cancelled)$"))] | length`); ends != "1" {
			s.t.Errorf("execution %s ended %s times", id, ends)
		}
	}
	told := s.inbox(s.runner)
	for key := range s.executions {
		if told[key] != 1 {
			s.t.Errorf("the execution of %s told the user %d times", key, told[key])
		}
	}
	sent := s.inbox(s.sender)
	for _, key := range s.notifications {
		if sent[key] != 1 {
			s.t.Errorf("notification %s is in the inbox %d times", key, sent[key])
		}
	}
}

// inbox counts a user's notifications by subject.
func (s *storm) inbox(c *client) map[string]int {
	counts := map[string]int{}
	for path := "/v1/notifications?limit=100"; path != ""; {
		page, ok := s.insist(c, http.MethodGet, path, nil, http.StatusOK)
		var list subjects.NotificationPage
		if err := json.Unmarshal(page.body, &list); err != nil || !ok {
			s.t.Errorf("reading the inbox: %s, %v", page, err)
			return counts
		}
		for _, n := range list.Items {
			counts[n.Subject]++
		}
		path = ""
		if list.NextCursor != "" {
			path = "/v1/notifications?limit=100&cursor=" + list.NextCursor
		}
	}
	return counts
}
