package consent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// renewalsOf returns a version of a notice as list_notices shows it.
func (f *fixture) renewalsOf(t *testing.T, id string, version int64) subjects.Notice {
	t.Helper()
	items := call(t, f, subjects.ListNotices, f.admin(t), subjects.ListNoticesRequest{NoticeID: id, Version: version}).Items
	if len(items) != 1 {
		t.Fatalf("%d versions", len(items))
	}
	return items[0]
}

// TestMaterialChange: a material change makes the consents to its purpose, and to no other, need a renewal at the guard and in checks, with a
// reason of its own; a renewal continues them.
func TestMaterialChange(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setupWith(t, kind, withPurposes())
		user := actortest.User()
		ada := f.user(t, user)
		guard := f.guard(t, time.Now)
		first, other := f.grant(t, ada, newsScope), f.grant(t, ada, subjects.ScopeWorkflowsRead)
		grant, err := guard.Check(t.Context(), user, newsScope) // the guard caches the consent
		if err != nil {
			t.Fatal(err)
		}
		f.publish(t, "news", "newsletter", subjects.NoticeEditorial, "May we?")
		f.publish(t, "news", "newsletter", subjects.NoticeMaterial, "May we every hour?")
		actortest.Eventually(t, "the consents are marked", func() bool {
			n := f.renewalsOf(t, "news", 2)
			return !n.RenewalsPending && n.Renewals == 1
		})
		if d := f.validate(t, ada, newsScope); d.Allowed || d.Reason != subjects.ConsentRenewalRequired || d.ConsentID != first.ID {
			t.Errorf("decision %+v", d)
		}
		_, err = guard.Check(t.Context(), user, newsScope)
		var e *subjects.Error
		if !errors.As(err, &e) || e.Code != subjects.CodeConsentRequired || e.Reason != subjects.ReasonRenewalRequired || e.Scope != newsScope {
			t.Errorf("the guard says %v", err)
		}
		if d := f.validate(t, ada, other.Scope); !d.Allowed {
			t.Errorf("another purpose: %+v", d)
		}
		if got := f.get(t, ada, first.ID); got.Status != subjects.ConsentRenewalRequired || got.RenewalNotice != "news@2" || got.RenewalAt == nil {
			t.Errorf("the consent is %+v", got)
		}
		list := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{Status: subjects.ConsentRenewalRequired})
		if len(list.Items) != 1 || list.Items[0].ID != first.ID {
			t.Errorf("listed %+v", list.Items)
		}
		served := call(t, f, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: "news"})
		renewed := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: newsScope, NoticeToken: served.NoticeToken})
		if d := f.validate(t, ada, newsScope); !d.Allowed || d.ConsentID != renewed.ID {
			t.Errorf("after the renewal: %+v", d)
		}
		if err := guard.CheckGrant(t.Context(), grant); err != nil {
			t.Errorf("work under the first consent does not continue: %v", err)
		}
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: renewed.ID})
		// Two grants, the renewal's mark, the supersession, the renewed grant and its revocation.
		f.verifiedSoon(t, 6)
	})
}

// TestRevokedWhileRenewalIsRequired: a consent that needs a renewal can be withdrawn, and the ledger has the end with everything before it.
func TestRevokedWhileRenewalIsRequired(t *testing.T) {
	t.Parallel()
	f := setupWith(t, actortest.Databases(t)[0], withPurposes())
	ada := f.user(t, actortest.User())
	c := f.grant(t, ada, newsScope)
	f.publish(t, "news", "newsletter", subjects.NoticeMaterial, "May we every hour?")
	actortest.Eventually(t, "the consent is marked", func() bool { return f.renewalsOf(t, "news", 1).Renewals == 1 })
	no := call(t, f, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: newsScope, Decision: subjects.DecisionRefused})
	if no.Status != subjects.ConsentRefused {
		t.Errorf("a refusal of the renewal: %+v", no.Consent)
	}
	got := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID})
	if got.Status != subjects.ConsentRevoked || got.RenewalNotice != "news@1" {
		t.Errorf("revoked %+v", got)
	}
	if d := f.validate(t, ada, newsScope); d.Reason != subjects.ConsentRevoked {
		t.Errorf("decision %+v", d)
	}
	f.verifiedSoon(t, 4)
}

// TestRenewalsContinueAfterAStop: a claim of a process that was killed ends, and its successor marks what is left, over several batches, each
// consent once.
func TestRenewalsContinueAfterAStop(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		var clock actortest.Clock
		f := setupWith(t, kind, withPurposes(), actortest.WithClock(clock.Now))
		f.stop(t)
		const users = 230 // more than a batch
		ids := make([]string, users)
		actortest.Write(t, f.db, func(ctx context.Context, tx database.Tx) error {
			for i := range ids {
				ids[i] = actortest.User()
				if err := insertConsent(ctx, tx, ids[i], newsScope); err != nil {
					return err
				}
			}
			// What a process leaves that was killed in its first batch.
			_, err := tx.ExecContext(ctx, `INSERT INTO consent_notices (notice_id, version, purpose_id, scope, change, default_language, published_at,
				renewals, renewal_cursor, claimed_until, renewals_done) VALUES ('news', 1, 'newsletter', ?, 'material', 'en', ?, 0, '', ?, ?)`,
				newsScope, clock.Now().Add(time.Second).UnixMicro(), clock.Now().Add(20*time.Second).UnixMicro(), false)
			return err
		})
		clock.Advance(30 * time.Second)
		f.start(t)
		actortest.Eventually(t, "the consents are marked", func() bool {
			n := f.renewalsOf(t, "news", 1)
			return !n.RenewalsPending
		})
		if n := f.renewalsOf(t, "news", 1); n.Renewals != users {
			t.Errorf("%d renewals, want %d", n.Renewals, users)
		}
		for _, id := range []string{ids[0], ids[199], ids[200], ids[users-1]} {
			if d := f.validate(t, f.user(t, id), newsScope); d.Reason != subjects.ConsentRenewalRequired {
				t.Errorf("decision %+v", d)
			}
			if h := f.history(t, f.user(t, id), id); len(h) != 1 || h[0].Change != subjects.ConsentRenewalRequired {
				t.Errorf("history %+v", h)
			}
		}
	})
}
