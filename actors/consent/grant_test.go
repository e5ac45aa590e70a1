package consent_test

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestConsentLifecycle(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user := actortest.User()
		ada, eve := f.user(t, user), f.user(t, actortest.User())
		const scope = subjects.ScopeIntegrationsExecute
		if d := f.validate(t, ada, scope); d.Allowed || d.Reason != "missing" || d.ConsentID != "" {
			t.Errorf("before the grant: %+v", d)
		}
		first := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{
			Scope: scope, Purpose: "the story", NoticeVersion: "v3", Jurisdiction: "DE",
		})
		if d := f.validate(t, ada, scope); !d.Allowed || d.Reason != subjects.ConsentActive || d.ConsentID != first.ID || !d.ExpiresAt.Equal(first.ExpiresAt) {
			t.Errorf("after the grant: %+v", d)
		}
		if got := f.get(t, ada, first.ID); got != first.Consent {
			t.Errorf("get_consent returned %+v, grant_consent %+v", got, first.Consent)
		}
		second := f.grant(t, ada, scope)
		if got := f.get(t, ada, first.ID); got.Status != subjects.ConsentSuperseded || got.SupersededBy != second.ID || got.RevokedAt != nil {
			t.Errorf("the renewed consent: %+v", got)
		}
		wantCode(t, f, subjects.CodeConflict, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: first.ID})
		wantCode(t, f, subjects.CodeNotFound, subjects.RevokeConsent, eve, subjects.RevokeConsentRequest{ConsentID: second.ID})
		wantCode(t, f, subjects.CodeUnauthenticated, subjects.GrantConsent, mesh.As{}, subjects.GrantConsentRequest{Scope: scope})
		revoked := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: second.ID, Reason: "enough"})
		if revoked.Status != subjects.ConsentRevoked || revoked.RevokedAt == nil || revoked.RevokeReason != "enough" {
			t.Errorf("revoked: %+v", revoked)
		}
		if d := f.validate(t, ada, scope); d.Allowed || d.Reason != subjects.ConsentRevoked {
			t.Errorf("after the revocation: %+v", d)
		}
		for id, want := range map[string]string{first.ID: "granted superseded", second.ID: "granted revoked"} {
			var changes []string
			for _, e := range f.history(t, ada, id) {
				changes = append(changes, e.Change)
			}
			if got := strings.Join(changes, " "); got != want {
				t.Errorf("history %q, want %q", got, want)
			}
		}
	})
}

func TestGrantChecksItsRequest(t *testing.T) {
	t.Parallel()
	const expiry, maxExpiry = time.Hour, 2 * time.Hour
	config := consent.DefaultConfig()
	config.Expiry, config.MaxExpiry = expiry, maxExpiry
	now := time.Now().Truncate(time.Microsecond)
	f := setupWith(t, actortest.Databases(t)[0], config,
		actortest.WithClock(func() time.Time { return now }))
	ada := f.user(t, actortest.User())
	at := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	for name, test := range map[string]struct {
		request subjects.GrantConsentRequest
		field   string
	}{
		"expiry now":              {subjects.GrantConsentRequest{ExpiresAt: at(0)}, "expires_at"},
		"expiry in the past":      {subjects.GrantConsentRequest{ExpiresAt: at(-time.Second)}, "expires_at"},
		"expiry beyond maximum":   {subjects.GrantConsentRequest{ExpiresAt: at(maxExpiry + time.Microsecond)}, "expires_at"},
		"unknown scope":           {subjects.GrantConsentRequest{Scope: "everything"}, "scope"},
		"purpose too long":        {subjects.GrantConsentRequest{Purpose: strings.Repeat("p", 501)}, "purpose"},
		"notice version too long": {subjects.GrantConsentRequest{NoticeVersion: strings.Repeat("v", 65)}, "notice_version"},
		"jurisdiction not a code": {subjects.GrantConsentRequest{Jurisdiction: "Germany"}, "jurisdiction"},
		"NUL in the purpose":      {subjects.GrantConsentRequest{Purpose: "a\x00b"}, "purpose"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.request.Scope == "" {
				test.request.Scope = subjects.ScopeWorkflowsRead
			}
			err := wantCode(t, f, subjects.CodeInvalid, subjects.GrantConsent, ada, test.request)
			if len(err.Fields) == 0 || err.Fields[0].Field != test.field {
				t.Errorf("fields %+v, want %s", err.Fields, test.field)
			}
		})
	}
	if got := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{}); len(got.Items) != 0 {
		t.Errorf("refused grants left %+v", got.Items)
	}
	if c := f.grant(t, ada, subjects.ScopeWorkflowsRead); !c.GrantedAt.Equal(now) || !c.ExpiresAt.Equal(now.Add(expiry)) {
		t.Errorf("granted %s until %s, want %s and an hour", c.GrantedAt, c.ExpiresAt, now)
	}
	latest := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{
		Scope: subjects.ScopeWorkflowsRead, ExpiresAt: at(maxExpiry), Purpose: strings.Repeat("ü", 500),
	})
	if !latest.ExpiresAt.Equal(now.Add(maxExpiry)) || latest.Purpose != strings.Repeat("ü", 500) {
		t.Errorf("at the bounds: %+v", latest.Consent)
	}
}

func TestConsentExpires(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		soon := clock.Now().Add(5 * time.Minute)
		c := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsExecute, ExpiresAt: &soon})
		clock.Advance(6 * time.Minute)
		if d := f.validate(t, ada, c.Scope); d.Allowed || d.Reason != subjects.ConsentExpired || d.ConsentID != c.ID {
			t.Errorf("decision: %+v", d)
		}
		if got := f.get(t, ada, c.ID); got.Status != subjects.ConsentExpired {
			t.Errorf("status: %s", got.Status)
		}
		renewed := f.grant(t, ada, c.Scope)
		state, err := f.states(t).Get(t.Context(), kv.EncodeKey(user, c.Scope))
		if err != nil || state.Value.ConsentID != renewed.ID || len(state.Value.Continues) != 0 {
			t.Errorf("a grant after the expiry continues the expired consent: %+v, %v", state.Value, err)
		}
		if got := f.get(t, ada, c.ID); got.Status != subjects.ConsentSuperseded {
			t.Errorf("status after the next grant: %s", got.Status)
		}
	})
}

// TestConcurrentGrants: each of a user's concurrent grants of one scope is recorded, in one order, and the last is active.
func TestConcurrentGrants(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		var all sync.WaitGroup
		const grants = 12
		for range grants {
			all.Go(func() {
				if _, err := mesh.Call(t.Context(), f.conn, subjects.GrantConsent, subjects.GrantConsentRequest{
					Scope: subjects.ScopeWorkflowsExecute, Purpose: "a test",
				}, ada); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		var active []string
		supersededBy := map[string]bool{}
		for _, c := range call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{}).Items {
			if c.Status == subjects.ConsentActive {
				active = append(active, c.ID)
			} else {
				supersededBy[c.SupersededBy] = true
			}
		}
		d := f.validate(t, ada, subjects.ScopeWorkflowsExecute)
		if len(active) != 1 || len(supersededBy) != grants-1 || supersededBy[""] || d.ConsentID != active[0] {
			t.Errorf("active %v, superseded by %v, in force %+v", active, supersededBy, d)
		}
	})
}

func TestIdempotencyKeys(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user := actortest.User()
		ada, eve := f.user(t, user), f.user(t, actortest.User())
		request := subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsExecute, Purpose: "once"}
		first, replayed, err := actortest.CallKeyed(t.Context(), f.conn, subjects.GrantConsent, request, ada.Token, "key")
		if err != nil || replayed {
			t.Fatalf("first call: %v, replayed %t", err, replayed)
		}
		again, replayed, err := actortest.CallKeyed(t.Context(), f.conn, subjects.GrantConsent, request, ada.Token, "key")
		if err != nil || !replayed || !reflect.DeepEqual(again, first) {
			t.Errorf("second call: %+v, replayed %t, %v; want %+v", again, replayed, err, first)
		}
		if got := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{}); len(got.Items) != 1 {
			t.Errorf("one key granted %d consents", len(got.Items))
		}
		request.Purpose = "another"
		if _, _, err := actortest.CallKeyed(t.Context(), f.conn, subjects.GrantConsent, request, ada.Token, "key"); subjects.CodeOf(err) != subjects.CodeIdempotencyMismatch {
			t.Errorf("another request under the key: %v", err)
		}
		others, replayed, err := actortest.CallKeyed(t.Context(), f.conn, subjects.GrantConsent, request, eve.Token, "key")
		if err != nil || replayed || others.ID == first.ID {
			t.Errorf("another user's key: %+v, replayed %t, %v", others, replayed, err)
		}
		for n := range 2 {
			revoked, replayed, err := actortest.CallKeyed(t.Context(), f.conn, subjects.RevokeConsent,
				subjects.RevokeConsentRequest{ConsentID: first.ID, Reason: "keyed"}, ada.Token, "key")
			if err != nil || revoked.RevokeReason != "keyed" || replayed != (n == 1) {
				t.Errorf("revocation %d: %+v, replayed %t, %v", n, revoked, replayed, err)
			}
		}
	})
}

// TestRenewalTakesEffectEverywhere: a guard that has read a consent stops using it once a shorter one has replaced it.
func TestRenewalTakesEffectEverywhere(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	user := actortest.User()
	ada := f.user(t, user)
	var clock actortest.Clock
	guard := f.guard(t, clock.Now)
	start := func(c subjects.GrantedConsent) error {
		return guard.Do(t.Context(), mesh.Grant{UserID: user, Scope: c.Scope, ConsentID: c.ID}, c.Scope,
			func(context.Context, func()) error { return nil })
	}
	grant := func(lifetime time.Duration) subjects.GrantedConsent {
		ends := time.Now().Add(lifetime)
		return call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: subjects.ScopeIntegrationsExecute, ExpiresAt: &ends})
	}
	long := grant(time.Hour)
	if err := start(long); err != nil {
		t.Fatal(err)
	}
	short := grant(30 * time.Second)
	if err := start(long); err != nil {
		t.Errorf("under the renewed consent, which the short one continues: %v", err)
	}
	clock.Advance(31 * time.Second)
	for _, c := range []subjects.GrantedConsent{long, short} {
		if err := start(c); subjects.CodeOf(err) != subjects.CodeConsentRequired {
			t.Errorf("under %s after its expiry: %v", c.ID, err)
		}
	}
}

// TestRevocationEndsContinuation: what was started under a consent continues under its renewal, but not under one that was granted
// after a revocation.
func TestRevocationEndsContinuation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user := actortest.User()
		ada := f.user(t, user)
		guard := f.guard(t, time.Now)
		const scope = subjects.ScopeWorkflowsExecute
		check := func(c subjects.GrantedConsent) subjects.Code {
			return subjects.CodeOf(guard.CheckGrant(t.Context(), mesh.Grant{UserID: user, Scope: scope, ConsentID: c.ID}))
		}
		first, second := f.grant(t, ada, scope), f.grant(t, ada, scope)
		if check(first) != "" || check(second) != "" {
			t.Errorf("after a renewal: %q and %q", check(first), check(second))
		}
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: second.ID})
		third := f.grant(t, ada, scope)
		if check(first) != subjects.CodeConsentRequired || check(second) != subjects.CodeConsentRequired || check(third) != "" {
			t.Errorf("after revocation and grant: %q, %q and %q", check(first), check(second), check(third))
		}
	})
}

// TestRetriedRenewalReachesGuards: a renewal that failed while it waited for the guards waits for them again when it is
// retried under its idempotency key.
func TestRetriedRenewalReachesGuards(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, actortest.Quiet())
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
		actortest.Eventually(t, "the failed renewal is over", func() bool {
			return f.host.Metric(t, "weft_requests_total", "consent", "timeout", "grant_consent") > 0
		})
		heard := hear()
		renewed, _, err := actortest.CallKeyed(t.Context(), f.conn, subjects.GrantConsent, request, ada.Token, "key")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-heard:
			if s.UserID != user || s.Scope != request.Scope {
				t.Errorf("the guard acknowledged %+v", s)
			}
		default:
			t.Error("the retry returned without the guard's acknowledgement")
		}
		if d := f.validate(t, ada, request.Scope); d.ConsentID != renewed.ID {
			t.Errorf("in force: %+v", d)
		}
		if got := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{}); len(got.Items) != 2 {
			t.Errorf("%d consents, want 2", len(got.Items))
		}
	})
}
