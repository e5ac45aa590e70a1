package consent_test

import (
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestConcurrentChanges: a user's grants, refusals, revocations and signals of Global Privacy Control, and material changes, at the same time.
// Afterwards checks say what the list says, no consent is in force that the directive or a change forbids, and every change is in the ledger as
// the tables have it.
func TestConcurrentChanges(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setupWith(t, database, withPurposes())
		ada := f.user(t, actortest.User())
		f.publish(t, "ads", "ads", subjects.NoticeEditorial, "May we?")
		f.publish(t, "news", "newsletter", subjects.NoticeEditorial, "May we?")
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				scope, notice := adScope, "ads"
				if i%2 == 1 {
					scope, notice = newsScope, "news"
				}
				for range 3 {
					served := call(t, f, subjects.ServeNotice, ada, subjects.ServeNoticeRequest{NoticeID: notice})
					granted, err := mesh.Call(t.Context(), f.conn, subjects.GrantConsent, subjects.GrantConsentRequest{Scope: scope, NoticeToken: served.NoticeToken}, ada)
					if err != nil && subjects.CodeOf(err) != subjects.CodeConflict && subjects.CodeOf(err) != subjects.CodeInvalid {
						t.Error(err)
					}
					if i >= 6 && err == nil {
						_, err = mesh.Call(t.Context(), f.conn, subjects.RevokeConsent, subjects.RevokeConsentRequest{ConsentID: granted.ID}, ada)
						if err != nil && subjects.CodeOf(err) != subjects.CodeConflict {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Go(func() { mustSignal(t, f, subjects.GPCStatusOf, ada, subjects.GPCStatusRequest{}) })
		all.Go(func() { f.publish(t, "news", "newsletter", subjects.NoticeMaterial, "May we every hour?") })
		all.Wait()
		actortest.Eventually(t, "the change has been applied", func() bool { return !f.renewalsOf(t, "news", 2).RenewalsPending })
		active := map[string]string{}
		entries := 0
		items := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{PageRequest: subjects.PageRequest{Limit: 200}}).Items
		for _, c := range items {
			entries += len(f.history(t, ada, c.ID))
			if c.Status != subjects.ConsentActive {
				continue
			}
			if active[c.Scope] != "" {
				t.Errorf("two consents to %s are active", c.Scope)
			}
			active[c.Scope] = c.ID
			if c.Scope == adScope && !c.GPCConflict {
				t.Errorf("in force against the directive: %+v", c)
			}
			if c.Scope == newsScope && c.NoticeVersion != "2" {
				t.Errorf("in force against the change: %+v", c)
			}
		}
		for _, scope := range []string{adScope, newsScope} {
			if d := f.validate(t, ada, scope); d.Allowed != (active[scope] != "") || d.Allowed && d.ConsentID != active[scope] {
				t.Errorf("%s: decided %+v, listed %q", scope, d, active[scope])
			}
		}
		f.verifiedSoon(t, entries)
	})
}
