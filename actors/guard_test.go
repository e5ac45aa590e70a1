package actors_test

import (
	"context"
	"errors"
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

// newGuard returns the guard of a new connection of a NATS user, as in a process of its own.
func newGuard(t testing.TB, m *actortest.Mesh, user string) (*actors.Guard, *mesh.Conn) {
	t.Helper()
	return newGuardAt(t, m, user, time.Now)
}

// newGuardAt is newGuard with a clock.
func newGuardAt(t testing.TB, m *actortest.Mesh, user string, now func() time.Time) (*actors.Guard, *mesh.Conn) {
	t.Helper()
	conn := m.Connect(t, user)
	membership, err := mesh.Join(t.Context(), conn, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = membership.Close(ctx)
	})
	guard, err := actors.NewGuard(t.Context(), conn, membership, now)
	if err != nil {
		t.Fatal(err)
	}
	return guard, conn
}

// act is a start that does nothing.
func act(context.Context, func()) error { return nil }

// untilCanceled is a start that waits for the end of its context, and closes waiting before.
func untilCanceled(waiting chan struct{}) func(context.Context, func()) error {
	return func(ctx context.Context, _ func()) error {
		close(waiting)
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestGuardRequiresConsent(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	ran := false
	err := guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, func(context.Context, func()) error { ran = true; return nil })
	wantCode(t, err, subjects.CodeConsentRequired)
	if ran {
		t.Error("start was called without consent")
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

func TestRevocationCancelsPendingStarts(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	waiting := make(chan struct{})
	result := make(chan error, 1)
	go func() { result <- guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, untilCanceled(waiting)) }()
	receive(t, waiting)
	m.Revoke(t, user, scope)
	wantCode(t, receive(t, result), subjects.CodeConsentRequired)
}

func TestRevocationDoesNotWaitForStartedActions(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	running, release := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, func(ctx context.Context, started func()) error {
			started()
			close(running)
			<-release
			return ctx.Err()
		})
	}()
	receive(t, running)
	m.Revoke(t, user, scope)
	close(release)
	if err := receive(t, result); err != nil {
		t.Errorf("the started action failed with %v", err)
	}
}

// Two processes start actions as fast as they can while consents are revoked. None may start after its revocation has returned.
func TestNothingStartsAfterARevocation(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	first, _ := newGuard(t, m, "integration")
	second, _ := newGuard(t, m, "workflow")
	var starts, late atomic.Int64
	for range 60 {
		user := actortest.User()
		grant := m.Consent(t, user, scope)[scope]
		var returned atomic.Bool
		var running sync.WaitGroup
		before := starts.Load()
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
					starts.Add(1)
					started()
					return nil
				}
				for err := error(nil); err == nil; {
					err = guard.Do(t.Context(), grant, scope, once)
				}
			})
		}
		actortest.Eventually(t, "50 starts", func() bool { return starts.Load() > before+50 })
		m.Revoke(t, user, scope)
		returned.Store(true)
		running.Wait()
	}
	if late.Load() != 0 {
		t.Errorf("%d of %d actions started after their revocation had returned", late.Load(), starts.Load())
	}
}

// A process loses its connection while a start is pending. The start is canceled before a revocation returns, which takes no longer
// than the lease.
func TestLostProcessDelaysRevocationByItsLease(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, conn := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	pending := make(chan struct{})
	result := make(chan error, 1)
	go func() { result <- guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, untilCanceled(pending)) }()
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
		t.Error("the revocation returned while a start of the lost process was pending")
	}
	wantCode(t, guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, act), subjects.CodeUnavailable)
}

func TestGuardRecoversFromAServerRestart(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	m.StopServer(t)
	wantCode(t, guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, act), subjects.CodeUnavailable)
	m.RestartServer(t)
	actortest.Eventually(t, "consent can be checked", func() bool {
		return guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, act) == nil
	})
}

// TestABlockedAccountStartsNothing: a block cancels what is pending for the account under any consent, refuses what follows, and ends.
func TestABlockedAccountStartsNothing(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	grant := m.Consent(t, user, scope)[scope]
	waiting := make(chan struct{})
	result := make(chan error, 1)
	go func() { result <- guard.Do(t.Context(), grant, scope, untilCanceled(waiting)) }()
	receive(t, waiting)
	m.Block(t, user, true)
	wantBlocked := func(err error) {
		t.Helper()
		if !errors.Is(err, &subjects.Error{Code: subjects.CodeForbidden, Reason: subjects.ReasonAccountBlocked}) {
			t.Errorf("got %v, want that the account is blocked", err)
		}
	}
	wantBlocked(receive(t, result))
	wantBlocked(guard.Do(t.Context(), grant, scope, act))
	wantBlocked(guard.DoGranted(t.Context(), grant, func(context.Context, func() bool) error { return nil }))
	_, err := guard.Check(t.Context(), user, scope)
	wantBlocked(err)
	m.Block(t, user, false)
	if err := guard.Do(t.Context(), grant, scope, act); err != nil {
		t.Errorf("once unblocked: %v", err)
	}
}

// TestPermitRefusesAfterTheLeaseHasExpired: a start that has passed its check is not permitted to act once the process's lease has
// expired, also not after the lease was renewed: a revocation in between has not waited for it.
func TestPermitRefusesAfterTheLeaseHasExpired(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	grant := m.Consent(t, user, scope)[scope]
	checked, resume := make(chan struct{}), make(chan struct{})
	result := make(chan error, 2)
	var acted atomic.Bool
	go func() {
		result <- guard.Do(t.Context(), grant, scope, func(ctx context.Context, _ func()) error {
			if err := actors.Permit(ctx); err != nil {
				t.Errorf("before the lease has expired: %v", err)
			}
			checked <- struct{}{}
			<-resume
			if err := actors.Permit(ctx); err != nil {
				return err
			}
			acted.Store(true)
			return nil
		})
	}()
	held := make(chan bool, 1)
	go func() {
		result <- guard.DoGranted(t.Context(), grant, func(_ context.Context, stillHeld func() bool) error {
			checked <- struct{}{}
			<-resume
			held <- stillHeld()
			return nil
		})
	}()
	receive(t, checked)
	receive(t, checked)
	m.StopServer(t)
	actortest.Eventually(t, "the lease has expired", func() bool {
		return subjects.CodeOf(guard.Do(t.Context(), grant, scope, act)) == subjects.CodeUnavailable
	})
	m.RestartServer(t)
	actortest.Eventually(t, "the lease is held again", func() bool { return guard.Do(t.Context(), grant, scope, act) == nil })
	close(resume)
	receive(t, result)
	receive(t, result)
	if acted.Load() || receive(t, held) {
		t.Errorf("a start acted that had been checked under an earlier lease")
	}
}
