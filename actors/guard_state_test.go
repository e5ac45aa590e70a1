package actors_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// putState writes a consent state as the consent actor does, without telling the guards.
func putState(t *testing.T, m *actortest.Mesh, user string, state subjects.ConsentState) {
	t.Helper()
	bucket, err := kv.Open[subjects.ConsentState](t.Context(), m.Conn(t, "consent").JS, kv.ConsentState)
	if err == nil {
		_, err = bucket.Put(t.Context(), kv.EncodeKey(user, scope), state)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckGrant(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	putState(t, m, user, subjects.ConsentState{ConsentID: "new", Continues: []string{"renewed", "older"}, Status: "active"})
	for name, c := range map[string]struct {
		grant mesh.Grant
		want  subjects.Code
	}{
		"the active consent":      {mesh.Grant{UserID: user, Scope: scope, ConsentID: "new"}, ""},
		"a renewed consent":       {mesh.Grant{UserID: user, Scope: scope, ConsentID: "renewed"}, ""},
		"one renewed before":      {mesh.Grant{UserID: user, Scope: scope, ConsentID: "older"}, ""},
		"another consent":         {mesh.Grant{UserID: user, Scope: scope, ConsentID: "other"}, subjects.CodeConsentRequired},
		"another user's consent":  {mesh.Grant{UserID: actortest.User(), Scope: scope, ConsentID: "new"}, subjects.CodeConsentRequired},
		"another scope's consent": {mesh.Grant{UserID: user, Scope: subjects.ScopeNotificationsSend, ConsentID: "new"}, subjects.CodeConsentRequired},
		"no user":                 {mesh.Grant{Scope: scope, ConsentID: "new"}, subjects.CodeForbidden},
		"no scope":                {mesh.Grant{UserID: user, ConsentID: "new"}, subjects.CodeForbidden},
		"no consent":              {mesh.Grant{UserID: user, Scope: scope}, subjects.CodeForbidden},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, guard.CheckGrant(t.Context(), c.grant), c.want) })
	}
}

func TestExpiredConsent(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	clock := &actortest.Clock{}
	guard, _ := newGuardAt(t, m, "integration", clock.Now)
	user, expiry := actortest.User(), time.Now().Add(30*time.Second)
	putState(t, m, user, subjects.ConsentState{ConsentID: "c", Status: "active", ExpiresAt: &expiry})
	grant, err := guard.Check(t.Context(), user, scope)
	if want := (mesh.Grant{UserID: user, Scope: scope, ConsentID: "c"}); err != nil || grant != want {
		t.Errorf("%+v, %v, want %+v", grant, err, want)
	}
	clock.Advance(31 * time.Second) // the state is still cached
	_, err = guard.Check(t.Context(), user, scope)
	wantCode(t, err, subjects.CodeConsentRequired)
	var coded *subjects.Error
	if !errors.As(err, &coded) || coded.Scope != scope {
		t.Errorf("the error does not name the scope: %v", err)
	}
}

// A guard that receives no barrier for a change, because the consent actor died, uses its cached state for a minute at most.
func TestStatesAreCachedForAMinute(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	clock := &actortest.Clock{}
	guard, _ := newGuardAt(t, m, "integration", clock.Now)
	user := actortest.User()
	check := func() string {
		t.Helper()
		grant, err := guard.Check(t.Context(), user, scope)
		if err != nil {
			t.Fatal(err)
		}
		return grant.ConsentID
	}
	putState(t, m, user, subjects.ConsentState{ConsentID: "1", Status: "active"})
	check()
	putState(t, m, user, subjects.ConsentState{ConsentID: "2", Continues: []string{"1"}, Status: "active"})
	clock.Advance(59 * time.Second)
	if got := check(); got != "1" {
		t.Errorf("after 59 seconds the consent is %s: the state was not cached", got)
	}
	clock.Advance(time.Second)
	if got := check(); got != "2" {
		t.Errorf("after a minute the consent is %s", got)
	}
	// A grant of a newer consent than the cached one makes the guard read again.
	putState(t, m, user, subjects.ConsentState{ConsentID: "3", Continues: []string{"2", "1"}, Status: "active"})
	if err := guard.CheckGrant(t.Context(), mesh.Grant{UserID: user, Scope: scope, ConsentID: "3"}); err != nil {
		t.Errorf("a grant of a newer consent: %v", err)
	}
	// A barrier invalidates the state.
	putState(t, m, user, subjects.ConsentState{ConsentID: "4", Status: "active"})
	err := mesh.RaiseBarrier(t.Context(), m.Conn(t, "consent"), mesh.Barrier{Kind: mesh.BarrierConsentRenewed, UserID: user, Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	if got := check(); got != "4" {
		t.Errorf("after a barrier the consent is %s", got)
	}
}

func TestDoConsented(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "workflow")
	user := actortest.User()
	never := func(context.Context, mesh.Grant) error { t.Error("start was called without consent"); return nil }
	wantCode(t, guard.DoConsented(t.Context(), user, scope, never), subjects.CodeConsentRequired)

	want := m.Consent(t, user, scope)[scope]
	failure := errors.New("failure")
	err := guard.DoConsented(t.Context(), user, scope, func(_ context.Context, grant mesh.Grant) error {
		if grant != want {
			t.Errorf("the grant is %+v, want %+v", grant, want)
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("%v, want start's error", err)
	}

	waiting := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- guard.DoConsented(t.Context(), user, scope, func(ctx context.Context, _ mesh.Grant) error {
			return untilCanceled(waiting)(ctx, nil)
		})
	}()
	receive(t, waiting)
	m.Revoke(t, user, scope)
	wantCode(t, receive(t, result), subjects.CodeConsentRequired)
}

// An action under one consent for the scope of another is canceled by the revocation of either.
func TestRevocationOfEitherScopeCancels(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "workflow")
	const other = subjects.ScopeNotificationsSend
	for _, revoked := range []string{scope, other} {
		user := actortest.User()
		grants := m.Consent(t, user, scope, other)
		waiting := make(chan struct{})
		result := make(chan error, 1)
		go func() { result <- guard.Do(t.Context(), grants[scope], other, untilCanceled(waiting)) }()
		receive(t, waiting)
		m.Revoke(t, user, revoked)
		wantCode(t, receive(t, result), subjects.CodeConsentRequired)
	}
}

// The caller's cancellation is not a revocation, and an action that succeeds although it was canceled has succeeded.
func TestCanceledStarts(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	guard, _ := newGuard(t, m, "integration")
	user := actortest.User()
	m.Consent(t, user, scope)
	ctx, cancel := context.WithCancel(t.Context())
	err := guard.Do(ctx, mesh.Grant{UserID: user}, scope, func(ctx context.Context, _ func()) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	waiting := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- guard.Do(t.Context(), mesh.Grant{UserID: user}, scope, func(ctx context.Context, _ func()) error {
			_ = untilCanceled(waiting)(ctx, nil)
			return nil
		})
	}()
	receive(t, waiting)
	m.Revoke(t, user, scope)
	if err := receive(t, result); err != nil {
		t.Errorf("a successful action is reported as %v", err)
	}
}
