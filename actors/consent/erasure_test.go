package consent_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestErasure: a deleted user's consents are revoked at every guard and keep a pseudonym alone; the ledger keeps every
// entry unchanged and has nothing of the user in clear.
func TestErasure(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user, other := actortest.User(), actortest.User()
		ada, eve := f.user(t, user), f.user(t, other)
		const purpose, reason = "ada's own purpose", "ada's own reason"
		scopes := subjects.Scopes()[:3]
		for _, scope := range scopes {
			call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: scope, Purpose: purpose})
		}
		kept := f.grant(t, eve, scopes[0])
		first := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{}).Items[0]
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: first.ID, Reason: reason})
		actortest.Eventually(t, "the ledger has five entries", func() bool { return len(f.ledger(t)) == 5 })
		before := f.ledger(t)
		guard := f.guard(t, time.Now)
		if _, err := guard.Check(t.Context(), user, scopes[0]); err != nil {
			t.Errorf("before the erasure: %v", err)
		}

		if answer := f.mesh.Forget(t, "consent", user); answer.Items != 3 || answer.Round != 1 {
			t.Errorf("answered %+v", answer)
		}
		for _, scope := range scopes {
			if _, err := guard.Check(t.Context(), user, scope); subjects.CodeOf(err) != subjects.CodeConsentRequired {
				t.Errorf("the guard says of %s: %v", scope, err)
			}
			if _, err := f.states(t).Get(t.Context(), kv.EncodeKey(user, scope)); !errors.Is(err, kv.ErrNotFound) {
				t.Errorf("the state of %s: %v", scope, err)
			}
		}
		if got := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{}); len(got.Items) != 0 {
			t.Errorf("consents are left: %+v", got.Items)
		}
		wantCode(t, f, subjects.CodeNotFound, subjects.GetConsent, ada, subjects.ConsentRequest{ConsentID: first.ID})
		if again := f.mesh.Forget(t, "consent", user); again.Items != 0 {
			t.Errorf("a second erasure answered %+v", again)
		}
		if d := f.validate(t, eve, kept.Scope); !d.Allowed {
			t.Errorf("another user's consent: %+v", d)
		}

		actortest.Eventually(t, "the ledger has the revocations and the erasure", func() bool { return len(f.ledger(t)) == 8 })
		if last := decodeLedger(t, f)[7]; last.Change != "erased" || len(last.Consents) != 3 || slices.Contains(last.Consents, kept.ID) {
			t.Errorf("the last entry is %+v", last)
		}
		if err := f.verified(t, 8).VerifyRecords(f.records(t)); err != nil {
			t.Errorf("after the erasure: %v", err)
		}
		after := f.ledger(t)
		if !slices.EqualFunc(before, after[:len(before)], bytes.Equal) {
			t.Error("entries of the ledger have changed")
		}
		f.stop(t)
		tables, entries := actortest.Dump(t, f.db), string(bytes.Join(after, []byte("\n")))
		for what, text := range map[string]string{"id": user, "purpose": purpose, "reason": reason} {
			if strings.Contains(tables, text) {
				t.Errorf("the tables still have the %s", what)
			}
			if strings.Contains(entries, text) {
				t.Errorf("the ledger has the %s in clear", what)
			}
		}
		if !strings.Contains(tables, other) || !strings.Contains(tables, first.ID) {
			t.Error("the tables have lost another user's consent or the pseudonymised one")
		}
	})
}

// TestErasureOfUnknownUser: an actor that has nothing of a user answers too.
func TestErasureOfUnknownUser(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	if answer := f.mesh.Forget(t, "consent", actortest.User()); answer.Items != 0 {
		t.Errorf("answered %+v", answer)
	}
}

// TestErasureOfExpiredConsents: a consent that has expired is revoked and pseudonymised as an active one is.
func TestErasureOfExpiredConsents(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		soon := clock.Now().Add(time.Minute)
		c := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead, ExpiresAt: &soon})
		clock.Advance(2 * time.Minute)
		if answer := f.mesh.Forget(t, "consent", user); answer.Items != 1 {
			t.Errorf("answered %+v", answer)
		}
		if d := f.validate(t, ada, c.Scope); d.Reason != "missing" {
			t.Errorf("decision: %+v", d)
		}
		f.stop(t)
		if strings.Contains(actortest.Dump(t, f.db), user) {
			t.Error("the tables still have the user's id")
		}
	})
}

// TestErasureIncludesHistory: superseded consents are pseudonymised too, and a later consent does not continue them.
func TestErasureIncludesHistory(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	user := actortest.User()
	ada := f.user(t, user)
	for range 3 {
		f.grant(t, ada, subjects.ScopeWorkflowsRead)
	}
	if answer := f.mesh.Forget(t, "consent", user); answer.Items != 3 {
		t.Errorf("answered %+v", answer)
	}
	// The same person may register again: under a new subject of the ledger, from the first version on.
	again := f.grant(t, ada, subjects.ScopeWorkflowsRead)
	state, err := f.states(t).Get(t.Context(), kv.EncodeKey(user, again.Scope))
	if err != nil || state.Value.Version != 1 || len(state.Value.Continues) != 0 {
		t.Errorf("state after the erasure: %+v, %v", state.Value, err)
	}
}

// TestGrantDuringErasure: a consent that is granted while the erasure waits for a guard is erased as well.
func TestGrantDuringErasure(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user := actortest.User()
		ada := f.user(t, user)
		guard := f.guard(t, time.Now)
		held := f.grant(t, ada, subjects.ScopeIntegrationsExecute)
		entered, cancelled, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
		started := make(chan error, 1)
		go func() {
			started <- guard.Do(t.Context(), mesh.Grant{UserID: user}, held.Scope, func(ctx context.Context, _ func()) error {
				close(entered)
				<-ctx.Done()
				close(cancelled)
				<-release
				return ctx.Err()
			})
		}()
		actortest.Receive(t, "the start has entered", entered)
		answer := make(chan subjects.Erasure, 1)
		go func() { answer <- f.mesh.Forget(t, "consent", user) }()
		actortest.Receive(t, "the erasure has cancelled the start", cancelled)
		late := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		close(release)
		if err := actortest.Receive(t, "the start is over", started); subjects.CodeOf(err) != subjects.CodeConsentRequired {
			t.Errorf("the start that was held: %v", err)
		}
		if got := actortest.Receive(t, "the actor has answered", answer); got.Items != 2 {
			t.Errorf("answered %+v", got)
		}
		for _, scope := range []string{held.Scope, late.Scope} {
			if d := f.validate(t, ada, scope); d.Allowed {
				t.Errorf("still in force: %+v", d)
			}
		}
	})
}
