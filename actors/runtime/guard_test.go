package runtime_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const scope = subjects.ScopeIntegrationsExecute

// newGuard opens the guard of a process of its own, under a user.
func newGuard(t *testing.T, m *actortest.Mesh, user string) (*actors.Guard, *mesh.Conn) {
	t.Helper()
	conn := m.Connect(t, user)
	presence, err := mesh.Join(t.Context(), conn, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = presence.Close(ctx)
	})
	guard, err := actors.NewGuard(t.Context(), conn, presence, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return guard, conn
}

func act(context.Context, func()) error { return nil }

func TestAGuardAsksForConsent(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	ran := false
	err := guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, func(context.Context, func()) error { ran = true; return nil })
	wantCode(t, err, subjects.CodeConsentRequired)
	if ran {
		t.Error("it started without consent")
	}
	grants := m.Consent(t, user, scope)
	for _, grant := range []mesh.Grant{{UserID: user}, grants[scope]} {
		if err := guard.Do(t.Context(), grant, scope, act); err != nil {
			t.Errorf("under %v: %v", grant, err)
		}
	}
	other := mesh.Grant{UserID: user, Scope: scope, ConsentID: actortest.User()}
	wantCode(t, guard.Do(t.Context(), other, scope, act), subjects.CodeConsentRequired)
	wantCode(t, guard.Do(t.Context(), grants[scope], subjects.ScopeNotificationsSend, act), subjects.CodeConsentRequired)
	m.Revoke(t, user, scope)
	wantCode(t, guard.Do(t.Context(), grants[scope], scope, act), subjects.CodeConsentRequired)
}

func TestARevocationCancelsWhatHasNotStarted(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	waiting := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, func(ctx context.Context, _ func()) error {
			close(waiting)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	receive(t, waiting)
	m.Revoke(t, user, scope)
	wantCode(t, receive(t, result), subjects.CodeConsentRequired)
}

func TestARevocationDoesNotWaitForWhatHasStarted(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	begun, release := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, func(ctx context.Context, started func()) error {
			started()
			close(begun)
			<-release
			return ctx.Err()
		})
	}()
	receive(t, begun)
	m.Revoke(t, user, scope)
	close(release)
	if err := receive(t, result); err != nil {
		t.Errorf("what had started is told %v", err)
	}
}

// TestNothingStartsAfterARevocation lets two processes act as fast as they can while consents are revoked:
// an act that begins when the revocation has returned is a fault.
func TestNothingStartsAfterARevocation(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	first, _ := newGuard(t, m, "integration")
	second, _ := newGuard(t, m, "workflow")
	var acts, late atomic.Int64
	for range 60 {
		user := actortest.User()
		grant := m.Consent(t, user, scope)[scope]
		var returned atomic.Bool
		var running sync.WaitGroup
		before := acts.Load()
		for i := range 8 {
			guard := []*actors.Guard{first, second}[i%2]
			running.Go(func() {
				once := func(ctx context.Context, started func()) error {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					if returned.Load() {
						late.Add(1)
					}
					acts.Add(1)
					started()
					return nil
				}
				for err := error(nil); err == nil; {
					err = guard.Do(t.Context(), grant, scope, once)
				}
			})
		}
		actortest.Eventually(t, "acts", func() bool { return acts.Load() > before+50 })
		m.Revoke(t, user, scope)
		returned.Store(true)
		running.Wait()
	}
	if late.Load() != 0 {
		t.Errorf("%d of %d acts began after the revocation had returned", late.Load(), acts.Load())
	}
}

// TestALostProcessDelaysARevocationByItsLease cuts a process off without a word while an act of its is
// pending: the act is cancelled before the revocation returns, and that is no later than the lease.
func TestALostProcessDelaysARevocationByItsLease(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, conn := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	pending := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, func(ctx context.Context, _ func()) error {
			close(pending)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	receive(t, pending)
	conn.Close()
	cut := time.Now()
	m.Revoke(t, user, scope)
	if took := time.Since(cut); took > mesh.LeaseLength+2*time.Second {
		t.Errorf("the revocation took %s, the lease is %s", took, mesh.LeaseLength)
	}
	select {
	case err := <-result:
		wantCode(t, err, subjects.CodeUnavailable)
	default:
		t.Error("the revocation returned while an act of the lost process was pending")
	}
	wantCode(t, guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, act), subjects.CodeUnavailable)
}

func TestAGuardComesBackAfterAServerRestart(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	m.StopServer(t)
	wantCode(t, guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, act), subjects.CodeUnavailable)
	m.RestartServer(t)
	actortest.Eventually(t, "the guard knows again", func() bool {
		return guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, act) == nil
	})
}
