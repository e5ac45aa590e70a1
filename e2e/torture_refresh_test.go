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

	"github.com/weftmesh/weft/subjects"
)

const (
	refreshProcesses = 3
	// refreshTimeout bounds a token request: a process that dies in one keeps others off the tokens for three times as long.
	refreshTimeout = 5 * time.Second
	// refreshAnswer is how long a client waits for an answer before it asks again: who was asked may be dead.
	refreshAnswer = 6 * time.Second
	// refreshLong is from what duration on the storm is a long one, which makes no fewer than refreshCalls calls.
	refreshLong  = time.Minute
	refreshCalls = 10_000
)

// A storm over three integration processes on one PostgreSQL: SIGKILL at any moment, and above all while tokens are
// exchanged, at a foreign authorization server that rotates refresh tokens and takes a family back when one comes twice. Many
// calls at a time are made over connections whose access tokens have ended. Each end is followed by one refresh, every call
// is answered, and no family is taken back, except where a process was killed between the vendor's answer and its commit: that
// connection needs a new sign-in, and says so.
func TestRefreshStorm(t *testing.T) {
	s := newRefreshStorm(t)
	connections, calls := 4, 10
	duration := tortureDuration(t)
	least := int64(0)
	if duration >= refreshLong {
		connections, calls, least = 10, 50, refreshCalls
	}
	links := make([]*link, connections)
	for i := range links {
		links[i] = &link{label: fmt.Sprintf("%s-%d", []string{"forced", "timed"}[i%2], i)}
		if !s.signIn(links[i]) {
			t.FailNow()
		}
	}
	end := time.Now().Add(duration)
	rages := func() bool { return !t.Failed() && (time.Now().Before(end) || s.calls.Load() < least) }
	var rounds sync.WaitGroup
	for _, l := range links {
		rounds.Go(func() {
			for first := true; first || rages(); first = false {
				s.round(l, calls)
			}
		})
	}
	for s.struck.Store(true); rages(); {
		<-time.After(500*time.Millisecond + time.Duration(rand.IntN(3000))*time.Millisecond) // the storm's own rhythm
		s.kill(rand.IntN(refreshProcesses))
	}
	s.struck.Store(false)
	rounds.Wait()
	s.close()
	t.Logf("%d calls on %d expired tokens over %d connections (%d asked again), %d kills, %d of them in a token request; %d refreshes, %d of them lost and told as needs_reauth",
		s.calls.Load(), s.expiries.Load(), connections, s.again.Load(), s.kills, s.strikes, s.expiries.Load(), s.vault.losses)
	if s.kills == 0 || s.calls.Load() == 0 {
		t.Error("the storm has done nothing")
	}
}

// link is a connection and the account that it is signed in to.
type link struct {
	label, id, subject string
	signIns            int
}

type refreshStorm struct {
	t     *testing.T
	vault *vault
	user  *client

	calls, again, expiries atomic.Int64
	// struck: token requests may be answered by a kill.
	struck         atomic.Bool
	mu             sync.Mutex
	workers        [refreshProcesses]*running
	killed         [refreshProcesses][]time.Time // by incarnation; zero where it lives
	kills, strikes int
	closed         bool
	keepers        sync.WaitGroup
}

func newRefreshStorm(t *testing.T) *refreshStorm {
	t.Helper()
	s := &refreshStorm{t: t, vault: startVault(t, refreshProcesses)}
	s.vault.asked, s.vault.excused = s.asked, s.excused
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
		s.keepers.Go(func() { s.keep(slot) })
	}
	t.Cleanup(s.close)
	gateway := p.launch(p.run("gateway", "--gateway", "--http", "127.0.0.1:0"))
	s.user, _ = signUp(t, gateway.ready.HTTP)
	s.user.http.Transport = &http.Transport{MaxIdleConnsPerHost: 512}
	s.user.grant(t, subjects.ScopeIntegrationsExecute)
	return s
}

// keep starts a killed process again, until the storm is over.
func (s *refreshStorm) keep(slot int) {
	for {
		s.mu.Lock()
		r := s.workers[slot]
		s.mu.Unlock()
		<-r.exited
		s.mu.Lock()
		lives := s.killed[slot]
		closed, died := s.closed, lives[len(lives)-1].IsZero()
		s.mu.Unlock()
		if closed {
			return
		}
		if died {
			s.t.Errorf("an integration process ended by itself: %v\n%s", r.err, r.lastWords())
		}
		next, err := startAgain(s.t, r.program)
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

// close ends the keepers, and with them the processes.
func (s *refreshStorm) close() {
	s.mu.Lock()
	s.closed = true
	for _, r := range s.workers {
		if r != nil {
			_ = r.cmd.Process.Kill()
		}
	}
	s.mu.Unlock()
	s.keepers.Wait()
}

// kill kills the process in a slot as it stands, where all of them live: one that is away is not the storm's whole work.
func (s *refreshStorm) kill(slot int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lives := range s.killed {
		if s.closed || !lives[len(lives)-1].IsZero() {
			return false
		}
	}
	lives := s.killed[slot]
	lives[len(lives)-1] = time.Now()
	_ = s.workers[slot].cmd.Process.Kill()
	s.kills++
	return true
}

// asked strikes some of the processes that make a token request: before it is answered, or a moment after.
func (s *refreshStorm) asked(slot int) (incarnation int) {
	s.mu.Lock()
	incarnation = len(s.killed[slot]) - 1
	strike := s.struck.Load() && rand.IntN(6) == 0
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

// excused: what a process got in its last moments it may not have stored.
func (s *refreshStorm) excused(slot, incarnation int, since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.killed[slot][incarnation]
	return !at.IsZero() && at.Sub(since) < refreshTimeout
}

// round ends a connection's access token and makes calls at once.
func (s *refreshStorm) round(l *link, calls int) {
	before := s.vault.expire(l.subject)
	s.expiries.Add(1)
	begin := time.Now()
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
	rotations, revoked := s.vault.look(l.subject)
	n := rotations - before
	// A token that ends by the clock may have ended again meanwhile.
	once := n == 1 || n > 1 && strings.HasPrefix(l.label, "timed") && time.Since(begin) > time.Second
	if !once {
		s.t.Errorf("%s was refreshed %d times", l.label, n)
	}
	if !revoked {
		if lost.Load() > 0 {
			s.t.Errorf("%s needs a new sign-in, and the vault has not taken its tokens back", l.label)
		}
		return
	}
	s.renewSignIn(l)
}

// renewSignIn signs a connection in again that has lost its tokens and says so.
func (s *refreshStorm) renewSignIn(l *link) {
	state, err := s.insist("GET", "/v1/integrations/"+l.id, nil, http.StatusOK)
	if err != nil || state.text(".status") != "needs_reauth" || state.text(".reason") == "" {
		s.t.Errorf("%s has lost its tokens, and is %s: %v", l.label, state, err)
	}
	s.signIn(l)
}

// call makes a call over a connection until it is answered, and tells whether it was not with a needs_reauth.
func (s *refreshStorm) call(l *link) bool {
	a, err := s.insist("POST", "/v1/integrations/"+l.id+"/actions/whoami", map[string]any{"input": map[string]any{}}, http.StatusOK, http.StatusConflict)
	switch {
	case err != nil:
		s.t.Errorf("a call over %s: %v", l.label, err)
	case a.status == http.StatusConflict && a.text(".code") == string(subjects.CodeNeedsReauth):
		return false
	case a.text(".output.subject") != l.subject:
		s.t.Errorf("a call over %s, signed in to %s, answered %s", l.label, l.subject, a)
	}
	return true
}

// insist repeats a request over however many kills, until it has one of the statuses.
func (s *refreshStorm) insist(method, path string, body any, wanted ...int) (answer, error) {
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
		ctx, cancel := context.WithTimeout(s.t.Context(), refreshAnswer)
		defer cancel()
		var err error
		if a, err = s.user.do(ctx, method, path, data); err != nil {
			return false, err.Error()
		}
		return a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout, a.String()
	})
	s.again.Add(tries - 1)
	if err == nil && !slices.Contains(wanted, a.status) {
		err = errors.New("it answered " + a.String())
	}
	return a, err
}

// signIn signs a connection in to an account of its own, the first time or again, by way of a browser.
func (s *refreshStorm) signIn(l *link) bool {
	var said string
	for range 20 {
		l.signIns++
		l.subject = fmt.Sprintf("%s-%d", l.label, l.signIns)
		query := url.Values{"label": {l.label}}
		if l.id != "" {
			query = url.Values{"integration_id": {l.id}}
		}
		start, err := s.insist("GET", "/v1/providers/vault/auth-url?"+query.Encode(), nil, http.StatusOK)
		if err != nil {
			said = err.Error()
			continue
		}
		code, err := s.vault.visit(start.text(".authorization_url"), l.subject)
		if err != nil {
			s.t.Error(err)
			return false
		}
		data, err := json.Marshal(map[string]string{"code": code, "state": start.text(".state")})
		if err != nil {
			s.t.Error(err)
			return false
		}
		// Not repeated: the state is good once, and so is the code. Whoever takes it may die with it.
		ctx, cancel := context.WithTimeout(s.t.Context(), refreshAnswer)
		a, err := s.user.do(ctx, "POST", "/v1/providers/vault/exchange", data)
		cancel()
		if err == nil && (a.status == http.StatusCreated || a.status == http.StatusOK) {
			l.id = a.text(".id")
			return true
		}
		said = fmt.Sprint(a, err)
	}
	s.t.Errorf("%s is not signed in: %s", l.label, said)
	return false
}
