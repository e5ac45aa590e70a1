//go:build torture

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	refreshProcesses = 3
	// refreshTimeout bounds a token request. After a process has died in one, others wait for twice as long and 10 s.
	refreshTimeout = 5 * time.Second
	// refreshAttempt bounds one attempt of a client, because the process that received the request may be dead.
	refreshAttempt = 6 * time.Second
	// A test of at least refreshLong makes at least refreshCalls calls.
	refreshLong  = time.Minute
	refreshCalls = 10_000
)

// TestRefreshStorm kills three integration processes on one PostgreSQL at random and during token requests. The authorization
// server rotates refresh tokens and revokes a token family when a refresh token is used twice. Many concurrent calls use
// connections whose access tokens have expired. Each expiry causes one refresh, every call gets a response, and no family is
// revoked, unless a process was killed between the provider's response and its commit: that connection then has the status
// needs_reauth.
func TestRefreshStorm(t *testing.T) {
	s := newRefreshStorm(t)
	connections, calls := 4, 10
	duration := tortureDuration(t)
	least := int64(0)
	if duration >= refreshLong {
		connections, calls, least = 10, 50, refreshCalls
	}
	all := make([]*connection, connections)
	for i := range all {
		all[i] = &connection{label: fmt.Sprintf("%s-%d", []string{"forced", "timed"}[i%2], i)}
		if !s.signIn(all[i]) {
			t.FailNow()
		}
	}
	end := time.Now().Add(duration)
	continues := func() bool { return !t.Failed() && (time.Now().Before(end) || s.calls.Load() < least) }
	var rounds sync.WaitGroup
	for _, l := range all {
		rounds.Go(func() {
			for first := true; first || continues(); first = false {
				s.round(l, calls)
			}
		})
	}
	for s.striking.Store(true); continues(); {
		<-time.After(500*time.Millisecond + time.Duration(rand.IntN(3000))*time.Millisecond) // random interval between faults
		s.kill(rand.IntN(refreshProcesses))
	}
	s.striking.Store(false)
	rounds.Wait()
	s.close()
	t.Logf("%d calls on %d expired tokens over %d connections (%d attempts repeated), %d kills, %d of them in a token request; %d refreshes, %d of them lost and reported as needs_reauth",
		s.calls.Load(), s.expiries.Load(), connections, s.again.Load(), s.kills, s.strikes, s.expiries.Load(), s.vault.losses)
	if s.kills == 0 || s.calls.Load() == 0 {
		t.Error("the storm had no effect")
	}
}

// connection is a connection of the user to an account of the vault.
type connection struct {
	label, id, subject string
	signIns            int
}

// refreshStorm runs the processes of the test.
type refreshStorm struct {
	t     *testing.T
	vault *vault
	user  *client

	calls, again, expiries atomic.Int64
	// striking makes some token requests kill the process that makes them.
	striking       atomic.Bool
	mu             sync.Mutex
	workers        [refreshProcesses]*running
	killed         [refreshProcesses][]time.Time // times by incarnation; zero while it is running
	kills, strikes int
	closed         bool
	supervisors    sync.WaitGroup
}

func newRefreshStorm(t *testing.T) *refreshStorm {
	t.Helper()
	s := &refreshStorm{t: t, vault: startVault(t, refreshProcesses)}
	s.vault.onTokenRequest, s.vault.mayBeUnsaved = s.onTokenRequest, s.mayBeUnsaved
	dir := t.TempDir()
	manifest := strings.ReplaceAll(vaultManifest, "URL", s.vault.url)
	if err := os.WriteFile(filepath.Join(dir, "vault.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := startProcesses(t, binary, "WEFT_GATEWAY_LIMITS_ENABLED=false")
	p.launch(p.run("others", "--actors", "auth,consent,notification"))
	for slot := range s.workers {
		worker := p.run("integration", "--actors", "integration")
		worker.env = append(slices.Clone(p.env), "WEFT_INTEGRATION_PROVIDERS_DIR="+dir,
			"WEFT_INTEGRATION_REFRESH_TIMEOUT="+refreshTimeout.String(), "WEFT_INTEGRATION_PROVIDERS_VAULT_CLIENT_ID="+vaultClient,
			"WEFT_INTEGRATION_PROVIDERS_VAULT_CLIENT_SECRET="+vaultSecret, "WEFT_INTEGRATION_PROVIDERS_VAULT_OAUTH_URL="+s.vault.slots[slot])
		s.workers[slot], s.killed[slot] = p.launch(worker), []time.Time{{}}
		s.supervisors.Go(func() { s.supervise(slot) })
	}
	t.Cleanup(s.close)
	gateway := p.launch(p.run("gateway", "--gateway", "--http", "127.0.0.1:0"))
	s.user, _ = signUp(t, gateway.ready.HTTP)
	s.user.http.Transport = &http.Transport{MaxIdleConnsPerHost: 512}
	s.user.grant(t, subjects.ScopeIntegrationsExecute)
	return s
}

// supervise restarts the process of a slot when it has been killed, until close.
func (s *refreshStorm) supervise(slot int) {
	for {
		s.mu.Lock()
		r := s.workers[slot]
		s.mu.Unlock()
		<-r.exited
		s.mu.Lock()
		killed := s.killed[slot]
		closed, unexpected := s.closed, killed[len(killed)-1].IsZero()
		s.mu.Unlock()
		if closed {
			return
		}
		if unexpected {
			s.t.Errorf("an integration process exited by itself: %v\n%s", r.err, r.logTail())
		}
		next, err := startInTest(s.t, r.program)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.workers[slot], s.killed[slot] = next, append(s.killed[slot], time.Time{})
		if s.closed {
			_ = next.cmd.Process.Kill()
		}
		s.mu.Unlock()
	}
}

// close kills the processes and waits for the supervisors.
func (s *refreshStorm) close() {
	s.mu.Lock()
	s.closed = true
	for _, r := range s.workers {
		if r != nil {
			_ = r.cmd.Process.Kill()
		}
	}
	s.mu.Unlock()
	s.supervisors.Wait()
}

// kill kills the process of a slot if all processes are running, and reports whether it did.
func (s *refreshStorm) kill(slot int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, killed := range s.killed {
		if s.closed || !killed[len(killed)-1].IsZero() {
			return false
		}
	}
	killed := s.killed[slot]
	killed[len(killed)-1] = time.Now()
	_ = s.workers[slot].cmd.Process.Kill()
	s.kills++
	return true
}

// onTokenRequest kills some of the processes that make a token request, before the response or shortly after it.
func (s *refreshStorm) onTokenRequest(slot int) (incarnation int) {
	s.mu.Lock()
	incarnation = len(s.killed[slot]) - 1
	strike := s.striking.Load() && rand.IntN(6) == 0
	s.mu.Unlock()
	if strike {
		time.AfterFunc(time.Duration(rand.IntN(15_000))*time.Microsecond, func() {
			if s.kill(slot) {
				s.mu.Lock()
				s.strikes++
				s.mu.Unlock()
			}
		})
	}
	return incarnation
}

// mayBeUnsaved reports whether a process was killed so soon after it received tokens that it may not have stored them: its commit waits for
// the lease of a process that was killed before.
func (s *refreshStorm) mayBeUnsaved(slot, incarnation int, since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.killed[slot][incarnation]
	return !at.IsZero() && at.Sub(since) < refreshTimeout+mesh.LeaseLength
}

// round expires the access token of a connection and makes concurrent calls over it.
func (s *refreshStorm) round(l *connection, calls int) {
	before := s.vault.expire(l.subject)
	s.expiries.Add(1)
	start := time.Now()
	var running sync.WaitGroup
	lost := atomic.Int64{}
	for range calls {
		running.Go(func() {
			if !s.call(l) {
				lost.Add(1)
			}
			s.calls.Add(1)
		})
	}
	running.Wait()
	rotations, revoked := s.vault.state(l.subject)
	n := rotations - before
	// A token that expires by time may have expired again in the meantime.
	once := n == 1 || n > 1 && strings.HasPrefix(l.label, "timed") && time.Since(start) > time.Second
	if !once {
		s.t.Errorf("%s was refreshed %d times", l.label, n)
	}
	if !revoked {
		if lost.Load() > 0 {
			s.t.Errorf("%s has the status needs_reauth, but the vault has not revoked its tokens", l.label)
		}
		return
	}
	s.reauthorize(l)
}

// reauthorize checks that a connection with revoked tokens has the status needs_reauth, and signs it in again.
func (s *refreshStorm) reauthorize(l *connection) {
	state, err := s.retry("GET", "/v1/integrations/"+l.id, nil, http.StatusOK)
	if err != nil || state.text(".status") != "needs_reauth" || state.text(".reason") == "" {
		s.t.Errorf("the tokens of %s are revoked, and its state is %s: %v", l.label, state, err)
	}
	s.signIn(l)
}

// call makes a call over a connection, and reports false if the response is needs_reauth.
func (s *refreshStorm) call(l *connection) bool {
	a, err := s.retry("POST", "/v1/integrations/"+l.id+"/actions/whoami", map[string]any{"input": map[string]any{}}, http.StatusOK, http.StatusConflict)
	switch {
	case err != nil:
		s.t.Errorf("a call over %s: %v", l.label, err)
	case a.status == http.StatusConflict && a.text(".code") == string(subjects.CodeNeedsReauth):
		return false
	case a.text(".output.subject") != l.subject:
		s.t.Errorf("a call over %s, signed in to %s, returned %s", l.label, l.subject, a)
	}
	return true
}

// retry repeats a request while weft is unavailable. Any status other than the wanted ones is an error then.
func (s *refreshStorm) retry(method, path string, body any, wanted ...int) (answer, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	var a answer
	tries := int64(0)
	err := eventually(func() (bool, string) {
		tries++
		ctx, cancel := context.WithTimeout(s.t.Context(), refreshAttempt)
		defer cancel()
		var err error
		if a, err = s.user.do(ctx, method, path, data); err != nil {
			return false, err.Error()
		}
		return a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout, a.String()
	})
	s.again.Add(tries - 1)
	if err == nil && !slices.Contains(wanted, a.status) {
		err = errors.New("the response is " + a.String())
	}
	return a, err
}

// signIn connects to a new account of the vault, or reconnects, with the authorization-code flow.
func (s *refreshStorm) signIn(l *connection) bool {
	var failure string
	for range 20 {
		l.signIns++
		l.subject = fmt.Sprintf("%s-%d", l.label, l.signIns)
		query := url.Values{"label": {l.label}}
		if l.id != "" {
			query = url.Values{"integration_id": {l.id}}
		}
		start, err := s.retry("GET", "/v1/providers/vault/auth-url?"+query.Encode(), nil, http.StatusOK)
		if err != nil {
			failure = err.Error()
			continue
		}
		code, err := s.vault.authorize(start.text(".authorization_url"), l.subject)
		if err != nil {
			s.t.Error(err)
			return false
		}
		data, err := json.Marshal(map[string]string{"code": code, "state": start.text(".state")})
		if err != nil {
			s.t.Error(err)
			return false
		}
		// State and code are valid for one request, which a kill may interrupt: a failure needs a new flow.
		ctx, cancel := context.WithTimeout(s.t.Context(), refreshAttempt)
		a, err := s.user.do(ctx, "POST", "/v1/providers/vault/exchange", data)
		cancel()
		if err == nil && (a.status == http.StatusCreated || a.status == http.StatusOK) {
			l.id = a.text(".id")
			return true
		}
		failure = fmt.Sprint(a, err)
	}
	s.t.Errorf("signing %s in: %s", l.label, failure)
	return false
}
