package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

// backupWorkflow waits, which is a timer, sends a notification and returns its input.
const backupWorkflow = `document: {dsl: 1.0.3, namespace: backup, name: load, version: 1.0.0}
do:
  - pause: {wait: {milliseconds: 300}}
  - tell:
      call: notification.send
      with: {category: workflow, subject: '${ .key }', body: Done.}
      output: {as: '${ $input }'}
`

// acknowledged is what weft has acknowledged, and when.
type acknowledged struct {
	at   time.Time
	id   string
	what any
}

// backupLoad is clients of a weft, and what it has acknowledged to them. Each list has one client.
type backupLoad struct {
	t        testing.TB
	url      string
	workflow string
	over     atomic.Bool
	clients  sync.WaitGroup

	runner, sender, granter *client
	account                 map[string]any

	mu sync.Mutex
	// executions by their key, notifications by their subject, accounts by their address with the session, consents with their status.
	executions, notifications, accounts, consents []acknowledged
}

func startBackupLoad(t testing.TB, url string) *backupLoad {
	t.Helper()
	l := &backupLoad{t: t, url: url, account: map[string]any{"email": uuid.NewString() + "@example.com", "password": password}}
	l.runner, _ = signUp(t, url)
	l.runner.grant(t, subjects.ScopeWorkflowsExecute)
	l.workflow = l.runner.must(t, 201, "POST", "/v1/workflows", backupWorkflow, "Content-Type: application/yaml").text(".id")
	l.sender, _ = signUp(t, url)
	l.granter, _ = signUp(t, url)
	l.clients.Go(func() { l.repeat(l.startExecution) })
	l.clients.Go(func() { l.repeat(l.sendNotification) })
	l.clients.Go(func() { l.repeat(l.changeConsent) })
	l.clients.Go(func() { l.repeat(l.signIn) })
	return l
}

func (l *backupLoad) repeat(act func() error) {
	for !l.over.Load() {
		if err := act(); err != nil {
			l.t.Errorf("under load: %v", err)
			return
		}
		<-time.After(loadPause)
	}
}

// loadPause is the pause of a client between two operations, so that what is started also ends.
const loadPause = 10 * time.Millisecond

func (l *backupLoad) stop() {
	l.over.Store(true)
	l.clients.Wait()
}

// count is how many operations were acknowledged.
func (l *backupLoad) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(len(l.executions), len(l.notifications), len(l.accounts)*3, len(l.consents))
}

// request makes a request that must succeed.
func request(l *backupLoad, c *client, method, path string, body any, status int) (answer, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	a, err := c.do(l.t.Context(), method, path, data)
	if err == nil && a.status != status {
		err = fmt.Errorf("%s %s: %s", method, path, a)
	}
	return a, err
}

func (l *backupLoad) note(list *[]acknowledged, id string, what any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, acknowledged{time.Now(), id, what})
}

func (l *backupLoad) startExecution() error {
	key := uuid.NewString()
	a, err := request(l, l.runner, http.MethodPost, "/v1/workflows/"+l.workflow+"/executions", map[string]any{"input": map[string]any{"key": key}}, 202)
	l.note(&l.executions, a.text(".id"), key)
	return err
}

func (l *backupLoad) sendNotification() error {
	key := uuid.NewString()
	_, err := request(l, l.sender, http.MethodPost, "/v1/notifications", map[string]any{"category": "system", "subject": key, "dedupe_key": key}, 202)
	l.note(&l.notifications, key, nil)
	return err
}

// changeConsent grants a consent and revokes it; a revocation is acknowledged once nothing starts under the consent.
func (l *backupLoad) changeConsent() error {
	granted, err := request(l, l.granter, http.MethodPost, "/v1/consents", map[string]any{"scope": subjects.ScopeWorkflowsRead, "purpose": "a test"}, 201)
	if err != nil {
		return err
	}
	id := granted.text(".id")
	l.note(&l.consents, id, "active")
	_, err = request(l, l.granter, http.MethodPost, "/v1/consents/"+id+"/revoke", map[string]any{}, 200)
	l.note(&l.consents, id, "revoked")
	return err
}

// signIn makes an account with a session, every other time.
func (l *backupLoad) signIn() error {
	c := newClient(l.url)
	credentials := map[string]any{"email": uuid.NewString() + "@example.com", "password": password}
	if _, err := request(l, c, http.MethodPost, "/v1/auth/register", credentials, 202); err != nil {
		return err
	}
	session, err := request(l, c, http.MethodPost, "/v1/auth/login", credentials, 200)
	l.note(&l.accounts, session.text(".access_token"), credentials)
	return err
}

// verify checks that a restored weft has all that was acknowledged before the backup began, once, and nothing that contradicts it.
func (l *backupLoad) verify(t testing.TB, url string, began time.Time) {
	t.Helper()
	runner, sender, granter := *l.runner, *l.sender, *l.granter
	runner.url, sender.url, granter.url = url, url, url
	counts := map[string]int{}
	for _, a := range before(l.accounts, began) {
		counts["sign-ins"]++
		c := newClient(url)
		c.token = a.id
		if got, err := c.do(t.Context(), http.MethodGet, "/v1/users/me", nil); err != nil || got.status != 200 {
			t.Errorf("a session from before the backup: %v, %v", got, err)
		}
		if got, err := request(l, newClient(url), http.MethodPost, "/v1/auth/login", a.what, 200); err != nil {
			t.Errorf("signing in to an account from before the backup: %v, %v", got, err)
		}
	}
	status := map[string]any{}
	for _, a := range before(l.consents, began) {
		status[a.id] = a.what
	}
	for id, want := range status {
		counts["consents"]++
		got, err := granter.do(t.Context(), http.MethodGet, "/v1/consents/"+id, nil)
		// The revocation that was under way when the backup began may be in it.
		if err != nil || got.text(".status") != want && want != "active" {
			t.Errorf("consent %s was %v before the backup: %v, %v", id, want, got, err)
		}
	}
	inbox := inboxOf(t, &sender)
	for _, a := range before(l.notifications, began) {
		counts["notifications"]++
		if inbox[a.id] != 1 {
			t.Errorf("notification %s is there %d times", a.id, inbox[a.id])
		}
	}
	for _, a := range before(l.executions, began) {
		counts["executions"]++
		if err := eventually(func() (bool, string) {
			got, err := runner.do(t.Context(), http.MethodGet, "/v1/executions/"+a.id, nil)
			return err == nil && got.text(".status") == subjects.ExecutionCompleted && got.text(".output.key") == a.what, got.String()
		}); err != nil {
			t.Errorf("execution %s: %v", a.id, err)
		}
	}
	told := inboxOf(t, &runner)
	for _, a := range before(l.executions, began) {
		key, _ := a.what.(string)
		if told[key] != 1 {
			t.Errorf("execution %s has sent its notification %d times", a.id, told[key])
		}
	}
	t.Logf("acknowledged before the backup and checked: %v", counts)
	if len(counts) != 4 {
		t.Error("the load had no effect")
	}
}

func before(list []acknowledged, moment time.Time) []acknowledged {
	for i, a := range list {
		if !a.at.Before(moment) {
			return list[:i]
		}
	}
	return list
}

// inboxOf returns the number of a user's notifications by subject.
func inboxOf(t testing.TB, c *client) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for path := "/v1/notifications?limit=100"; path != ""; {
		var list subjects.NotificationPage
		if err := json.Unmarshal(c.must(t, 200, "GET", path, nil).body, &list); err != nil {
			t.Fatal(err)
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
