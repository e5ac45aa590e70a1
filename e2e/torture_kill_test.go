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
	// stormClients is the number of clients that start executions concurrently.
	stormClients = 4
	// verifyTimeout bounds how long executions may take to end after the last fault.
	verifyTimeout = 3 * time.Minute
)

// stormWorkflow makes three calls in sequence, sends a notification, and returns its input with the paths that were called.
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

// TestKillStorm kills `weft up` with SIGKILL again and again for WEFT_TORTURE_DURATION, while clients start executions, send
// notifications and revoke consents. Afterwards it checks everything that weft has acknowledged: every execution ends once with
// the right result, no completed step runs again, every notification is in the inbox once, and calls under a revoked consent are
// refused.
func TestKillStorm(t *testing.T) {
	s := newStorm(t)
	var clients sync.WaitGroup
	for range stormClients {
		clients.Go(s.runExecutions)
	}
	clients.Go(s.sendNotifications)
	clients.Go(s.revokeConsents)
	s.injectFaults()
	s.over.Store(true)
	clients.Wait()
	s.verify()
	t.Logf("%d kills, %d executions, %d notifications, %d revocations (%d refused calls)",
		s.kills, len(s.executions), len(s.notifications), s.revocations, s.refused)
	if s.kills == 0 || len(s.executions) == 0 || len(s.notifications) == 0 || s.revocations == 0 {
		t.Error("the storm had no effect")
	}
}

// storm is a weft that is killed repeatedly, its clients, and what it has acknowledged.
type storm struct {
	t    *testing.T
	weft program
	url  string
	shop *stubProvider
	over atomic.Bool

	kills                int
	mu                   sync.Mutex
	executions           map[string]string // ID by key
	notifications        []string
	revocations, refused int
	// reached is the last step that has been called, by key.
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
	s := &storm{t: t, executions: map[string]string{}, reached: map[string]int{}, shop: startStubProvider(t, nil)}
	s.shop.onCall = s.checkCall
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

// start starts weft, or fails the test.
func (s *storm) start() *running {
	s.t.Helper()
	r, err := start(s.weft)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// injectFaults starts and kills weft for tortureDuration, then starts it and leaves it running.
func (s *storm) injectFaults() {
	for end := time.Now().Add(tortureDuration(s.t)); time.Now().Before(end); s.kills++ {
		r := s.start()
		<-time.After(time.Duration(rand.IntN(1500)) * time.Millisecond) // random interval between faults
		r.kill()
	}
	last := s.start()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Log(last.logTail())
		}
		if err := last.stop(); err != nil {
			s.t.Error(err)
		}
	})
}

// checkCall checks that a step is not called after a later one, because the earlier one has completed then.
func (s *storm) checkCall(path string) {
	key, text, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	step, err := strconv.Atoi(text)
	if !ok || err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if step < s.reached[key] {
		s.t.Errorf("step %d of %s is called after step %d", step, key, s.reached[key])
	}
	s.reached[key] = max(step, s.reached[key])
}

// retry repeats a request while weft is unavailable. Any status other than the wanted ones is an error then, which fails the
// test.
func (s *storm) retry(c *client, method, path string, body any, wanted ...int) (answer, bool) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			s.t.Error(err)
			return answer{}, false
		}
	}
	unavailable := []int{http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	var a answer
	err := eventually(func() (bool, string) {
		var err error
		if a, err = c.do(s.t.Context(), method, path, data); err != nil {
			return false, err.Error()
		}
		return !slices.Contains(unavailable, a.status), a.String()
	})
	if err == nil && !slices.Contains(wanted, a.status) {
		err = fmt.Errorf("the response is %s", a)
	}
	if err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
	return a, err == nil
}

// runExecutions starts executions in sequence. The client chooses the ID, so that it can repeat a start whose response was
// lost.
func (s *storm) runExecutions() {
	for !s.over.Load() {
		key, id := uuid.NewString(), uuid.Must(uuid.NewV7()).String()
		_, ok := s.retry(s.runner, http.MethodPost, "/v1/workflows/"+s.workflow+"/executions",
			map[string]any{"execution_id": id, "input": map[string]any{"key": key}}, http.StatusAccepted)
		if !ok {
			return
		}
		s.mu.Lock()
		s.executions[key] = id
		s.mu.Unlock()
	}
}

// sendNotifications sends notifications in sequence, with a key for deduplication.
func (s *storm) sendNotifications() {
	for !s.over.Load() {
		key := uuid.NewString()
		_, ok := s.retry(s.sender, http.MethodPost, "/v1/notifications",
			map[string]any{"category": "system", "subject": key, "dedupe_key": key}, http.StatusAccepted)
		if !ok {
			return
		}
		s.notifications = append(s.notifications, key)
	}
}

// revokeConsents repeatedly grants and revokes a consent, and makes calls after each revocation.
func (s *storm) revokeConsents() {
	c := newClient(s.url)
	credentials := map[string]any{"email": uuid.NewString() + "@example.com", "password": password}
	s.retry(c, http.MethodPost, "/v1/auth/register", credentials, http.StatusAccepted)
	session, ok := s.retry(c, http.MethodPost, "/v1/auth/login", credentials, http.StatusOK)
	if !ok {
		return
	}
	c.token = session.text(".access_token")
	connected, ok := s.retry(c, http.MethodPost, "/v1/integrations", s.shop.connection("own"), http.StatusCreated)
	for action := "/v1/integrations/" + connected.text(".id") + "/actions/get"; ok && !s.over.Load(); {
		key := uuid.NewString()
		call := map[string]any{"input": map[string]any{"path": "/revoked-" + key}}
		var granted answer
		granted, ok = s.retry(c, http.MethodPost, "/v1/consents", map[string]any{"scope": subjects.ScopeIntegrationsExecute}, http.StatusCreated)
		if ok {
			_, ok = s.retry(c, http.MethodPost, "/v1/consents/"+granted.text(".id")+"/revoke", map[string]any{}, http.StatusOK)
		}
		for range 20 {
			if !ok {
				return
			}
			_, ok = s.retry(c, http.MethodPost, action, call, http.StatusForbidden)
			s.refused++
		}
		if n := s.shop.count("/revoked-" + key); n != 0 {
			s.t.Errorf("%d calls started after revoke_consent returned", n)
		}
		s.revocations++
	}
}

// verify waits until every acknowledged execution has ended, and checks all results.
func (s *storm) verify() {
	deadline := time.Now().Add(verifyTimeout)
	for key, id := range s.executions {
		var a answer
		for a.text(".ended_at") == "" && time.Now().Before(deadline) {
			var ok bool
			if a, ok = s.retry(s.runner, http.MethodGet, "/v1/executions/"+id, nil, http.StatusOK); !ok {
				return
			}
		}
		want := fmt.Sprintf(`["/%s/1","/%s/2","/%s/3"]`, key, key, key)
		if a.text(".status") != subjects.ExecutionCompleted || a.text(".output.seen") != want || a.text(".output.key") != key {
			s.t.Errorf("execution %s of %s is %s", id, key, a)
		}
		history, _ := s.retry(s.runner, http.MethodGet, "/v1/executions/"+id+"/history?limit=100", nil, http.StatusOK)
		if ends := history.text(`[.items[] | select(.type | test("^execution_(completed|faulted|cancelled)$"))] | length`); ends != "1" {
			s.t.Errorf("execution %s ended %s times", id, ends)
		}
	}
	inbox := s.inbox(s.runner)
	for key := range s.executions {
		if inbox[key] != 1 {
			s.t.Errorf("the execution of %s sent its notification %d times", key, inbox[key])
		}
	}
	sent := s.inbox(s.sender)
	for _, key := range s.notifications {
		if sent[key] != 1 {
			s.t.Errorf("notification %s is in the inbox %d times", key, sent[key])
		}
	}
}

// inbox returns the number of a user's notifications by subject.
func (s *storm) inbox(c *client) map[string]int {
	counts := map[string]int{}
	for path := "/v1/notifications?limit=100"; path != ""; {
		page, ok := s.retry(c, http.MethodGet, path, nil, http.StatusOK)
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
