package consent_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestRevokeTwice(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		c := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		first := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID, Reason: "enough"})
		again := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID, Reason: "twice"})
		if again.RevokeReason != "enough" || !again.RevokedAt.Equal(*first.RevokedAt) {
			t.Errorf("the second revocation changed the first: %+v, then %+v", first, again)
		}
		history := f.history(t, ada, c.ID)
		if len(history) != 2 || history[1].Change != "revoked" || history[1].Reason != "enough" {
			t.Errorf("history: %+v", history)
		}
	})
}

func TestConcurrentRevocationsAreRecordedOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		c := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				got, err := mesh.Call(t.Context(), f.conn, subjects.RevokeConsent, subjects.RevokeConsentRequest{ConsentID: c.ID}, ada)
				if err != nil || got.Status != "revoked" {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		all.Wait()
		if history := f.history(t, ada, c.ID); len(history) != 2 {
			t.Errorf("history: %+v", history)
		}
		if n := f.host.Metric(t, "consent_changes_total", "revoked", c.Scope); n != 1 {
			t.Errorf("%v revocations counted, want 1", n)
		}
	})
}

func TestExpiredConsentCanBeRevoked(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	f := setup(t, actortest.Databases(t)[0], actortest.WithClock(clock.Now))
	ada := f.user(t, actortest.User())
	soon := clock.Now().Add(time.Minute)
	c := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead, ExpiresAt: &soon})
	clock.Advance(2 * time.Minute)
	if got := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID}); got.Status != "revoked" {
		t.Errorf("revoked: %+v", got)
	}
	if d := f.validate(t, ada, c.Scope); d.Reason != "revoked" {
		t.Errorf("decision: %+v", d)
	}
}

// TestRevokeDuringGrant: a revocation that finds a newer consent in the bucket revokes neither.
func TestRevokeDuringGrant(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user := actortest.User()
		ada := f.user(t, user)
		c := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		newer := subjects.ConsentState{ConsentID: actortest.User(), Version: 2, Status: "active"}
		if _, err := f.states(t).Put(t.Context(), kv.EncodeKey(user, c.Scope), newer); err != nil {
			t.Fatal(err)
		}
		wantCode(t, f, subjects.CodeConflict, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID})
		if d := f.validate(t, ada, c.Scope); !d.Allowed || d.ConsentID != newer.ConsentID {
			t.Errorf("the newer consent: %+v", d)
		}
		if history := f.history(t, ada, c.ID); len(history) != 1 {
			t.Errorf("history: %+v", history)
		}
	})
}

// TestNoStartAfterRevocation: of many starts in another process, none begins after the revocation has returned.
func TestNoStartAfterRevocation(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	user := actortest.User()
	ada := f.user(t, user)
	guard := f.guard(t, time.Now)
	for round := range 20 {
		c := f.grant(t, ada, subjects.ScopeIntegrationsExecute)
		var returned atomic.Bool
		var late, started atomic.Int64
		var wg sync.WaitGroup
		enough := make(chan struct{})
		for range 32 {
			wg.Go(func() {
				for {
					err := guard.Do(t.Context(), mesh.Grant{UserID: user}, subjects.ScopeIntegrationsExecute,
						func(ctx context.Context, begun func()) error {
							if ctx.Err() != nil {
								return ctx.Err()
							}
							if returned.Load() {
								late.Add(1)
							}
							if started.Add(1) == 100 {
								close(enough)
							}
							begun()
							return nil
						})
					if subjects.CodeOf(err) == subjects.CodeConsentRequired {
						return
					}
					if err != nil {
						t.Errorf("a start: %v", err)
						return
					}
				}
			})
		}
		select {
		case <-enough:
		case <-time.After(actortest.Patience):
			t.Fatal("the starts do not begin")
		}
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID})
		returned.Store(true)
		wg.Wait()
		if late.Load() > 0 {
			t.Fatalf("round %d: %d of %d starts began after the revocation had returned", round, late.Load(), started.Load())
		}
	}
}

// TestRevocationWaitsForPendingStarts: a revocation cancels a start that has not begun, and returns after it is over.
func TestRevocationWaitsForPendingStarts(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	user := actortest.User()
	ada := f.user(t, user)
	guard := f.guard(t, time.Now)
	c := f.grant(t, ada, subjects.ScopeIntegrationsExecute)
	entered, cancelled, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	start, revocation := make(chan error, 1), make(chan error, 1)
	go func() {
		start <- guard.Do(t.Context(), mesh.Grant{UserID: user}, c.Scope, func(ctx context.Context, _ func()) error {
			close(entered)
			<-ctx.Done()
			close(cancelled)
			<-release
			return ctx.Err()
		})
	}()
	actortest.Receive(t, "the start has entered", entered)
	go func() {
		_, err := mesh.Call(t.Context(), f.conn, subjects.RevokeConsent, subjects.RevokeConsentRequest{ConsentID: c.ID}, ada)
		revocation <- err
	}()
	actortest.Receive(t, "the revocation has cancelled the start", cancelled)
	select {
	case err := <-revocation:
		t.Fatalf("the revocation returned before the start was over: %v", err)
	default:
	}
	if got := f.get(t, ada, c.ID); got.Status != "active" {
		t.Errorf("recorded as %s before the guard's acknowledgement", got.Status)
	}
	close(release)
	if err := actortest.Receive(t, "the revocation has returned", revocation); err != nil {
		t.Errorf("revocation: %v", err)
	}
	if err := actortest.Receive(t, "the start is over", start); subjects.CodeOf(err) != subjects.CodeConsentRequired {
		t.Errorf("the cancelled start: %v", err)
	}
}

// TestRevocationWithoutAcknowledgement: where a guard does not acknowledge in time, revoke_consent fails, guards deny all
// the same, and a retry completes the record.
func TestRevocationWithoutAcknowledgement(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, actortest.Quiet())
		ada := f.user(t, actortest.User())
		c := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		hear := f.deaf(t, mesh.BarrierConsent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := mesh.Call(ctx, f.conn, subjects.RevokeConsent, subjects.RevokeConsentRequest{ConsentID: c.ID}, ada)
		if code := subjects.CodeOf(err); code != subjects.CodeTimeout && code != subjects.CodeUnavailable {
			t.Errorf("without an acknowledgement: %v", err)
		}
		if d := f.validate(t, ada, c.Scope); d.Allowed || d.Reason != "revoked" {
			t.Errorf("decision: %+v", d)
		}
		if got := f.get(t, ada, c.ID); got.Status != "active" {
			t.Errorf("recorded as %s without an acknowledgement", got.Status)
		}
		heard := hear()
		if got := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID, Reason: "again"}); got.RevokeReason != "again" {
			t.Errorf("the retry: %+v", got)
		}
		if s := actortest.Receive(t, "the guard has acknowledged", heard); s.Scope != c.Scope {
			t.Errorf("the guard acknowledged %+v", s)
		}
	})
}

// TestRetriedGrantDoesNotUndoRevocation: a grant that is retried under its idempotency key does not bring back its consent,
// which was revoked meanwhile.
func TestRetriedGrantDoesNotUndoRevocation(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	user := actortest.User()
	ada := f.user(t, user)
	request := subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsExecute}
	f.grant(t, ada, request.Scope)
	hear := f.deaf(t, mesh.BarrierConsentRenewed)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, _, err := actortest.CallKeyed(ctx, f.conn, subjects.GrantConsent, request, ada.Token, "key"); err == nil {
		t.Fatal("the renewal returned without the guard's acknowledgement")
	}
	hear()
	renewed := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{Status: "active"}).Items[0]
	call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: renewed.ID})
	replay, _, err := actortest.CallKeyed(t.Context(), f.conn, subjects.GrantConsent, request, ada.Token, "key")
	if err != nil || replay.ID != renewed.ID {
		t.Fatalf("the retried renewal: %+v, %v", replay, err)
	}
	if d := f.validate(t, ada, request.Scope); d.Allowed {
		t.Errorf("the retried renewal is in force again: %+v", d)
	}
}
