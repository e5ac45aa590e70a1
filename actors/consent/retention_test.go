package consent_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// insertConsents inserts consents of as many users.
func insertConsents(t *testing.T, f *fixture, n int, status string, times func(i int) (granted, expires, revoked time.Time)) (ids []string) {
	t.Helper()
	actortest.Write(t, f.db, func(ctx context.Context, tx database.Tx) error {
		for i := range n {
			granted, expires, revoked := times(i)
			id := actortest.User()
			ids = append(ids, id)
			if err := insertRow(ctx, tx, id, actortest.User(), subjects.ScopeWorkflowsRead, status, granted, expires, revoked); err != nil {
				return err
			}
		}
		return nil
	})
	return ids
}

// TestRetention: what is over is deleted after its retention, by kind; the ledger says so and verifies, and the user can consent again.
func TestRetention(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		config := consent.DefaultConfig()
		config.Retention = consent.RetentionConfig{Ended: 100 * day, Refused: 10 * day}
		config.ExpiryNotice = 0
		f := setupWith(t, database, config, actortest.WithClock(clock.Now))
		user := actortest.User()
		ada := f.user(t, user)
		expires := clock.Now().Add(20 * day)
		grant := func(scope string) subjects.GrantedConsent {
			return call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: scope, ExpiresAt: &expires})
		}
		expired := grant(subjects.ScopeWorkflowsRead)
		superseded := grant(subjects.ScopeWorkflowsExecute)
		kept := f.grant(t, ada, superseded.Scope) // for a year
		revoked := grant(subjects.ScopeIntegrationsRead)
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: revoked.ID, Reason: "enough"})
		f.verified(t, 6)
		f.stop(t)
		refusals := insertConsents(t, f, 2, "refused", func(i int) (granted, expires, revoked time.Time) {
			return clock.Now().Add(-time.Duration(i*11) * day), clock.Now().Add(365 * day), time.Time{}
		})
		f.start(t)
		ids := func() map[string]bool {
			ada = f.user(t, user) // access tokens end too
			found := map[string]bool{}
			for _, c := range call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{}).Items {
				found[c.ID] = true
			}
			return found
		}
		actortest.Eventually(t, "the older refusal is deleted", func() bool { return f.host.Metric(t, "consent_deleted_total") == 1 })
		found := ids()
		f.stop(t)
		if rows := actortest.Dump(t, f.db); len(found) != 4 || strings.Contains(rows, refusals[1]) || !strings.Contains(rows, refusals[0]) {
			t.Errorf("consents %v", found)
		}
		f.start(t)
		f.restartAt(t, &clock, 101*day)
		actortest.Eventually(t, "the revoked consent is deleted", func() bool { return !ids()[revoked.ID] })
		if found := ids(); len(found) != 3 {
			t.Errorf("after 101 days: %v", found)
		}
		f.restartAt(t, &clock, 20*day)
		actortest.Eventually(t, "all that is over is deleted", func() bool { return len(ids()) == 1 && ids()[kept.ID] })
		wantCode(t, f, subjects.CodeNotFound, subjects.GetConsent, ada, subjects.ConsentRequest{ConsentID: expired.ID})
		v := f.verified(t, 8) // two erasures
		if err := v.VerifyRecords(f.records(t)); err != nil {
			t.Error(err)
		}
		for _, scope := range []string{expired.Scope, revoked.Scope} {
			if d := f.validate(t, ada, scope); d.Reason != "missing" {
				t.Errorf("%s: %+v", scope, d)
			}
			again := f.grant(t, ada, scope)
			if d := f.validate(t, ada, scope); !d.Allowed || d.ConsentID != again.ID {
				t.Errorf("granted again: %+v", d)
			}
		}
	})
}

// restartAt restarts the actor after some time.
func (f *fixture) restartAt(t *testing.T, clock *actortest.Clock, after time.Duration) {
	t.Helper()
	f.stop(t)
	clock.Advance(after)
	f.start(t)
}

// TestRetentionOfMany: more rows than a page are deleted, also those of erased users, about which the ledger has said so.
func TestRetentionOfMany(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0])
	f.stop(t)
	const years = 365 * day
	insertConsents(t, f, 450, "revoked", func(int) (granted, expires, revoked time.Time) {
		return time.Now().Add(-5 * years), time.Now().Add(5 * years), time.Now().Add(-4 * years)
	})
	insertConsents(t, f, 3, "revoked", func(int) (granted, expires, revoked time.Time) {
		return time.Now().Add(-5 * years), time.Now().Add(-4 * years), time.Now().Add(-2 * years)
	})
	f.start(t)
	actortest.Eventually(t, "the revoked are deleted", func() bool { return f.host.Metric(t, "consent_deleted_total") == 450 })
}
