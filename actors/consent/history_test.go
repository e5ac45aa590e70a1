package consent_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestHistoryUnderParallelChanges: under fifty parallel grants and revocations of one scope the history is linear and without gaps. Each consent is
// granted once and ends at most once, by its successor or a revocation; the list has them in the order of their versions; and the ledger has each
// change once.
func TestHistoryUnderParallelChanges(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, actortest.Quiet())
		user := actortest.User()
		ada := f.user(t, user)
		const scope, parallel = subjects.ScopeWorkflowsExecute, 50
		var all sync.WaitGroup
		for i := range parallel {
			all.Go(func() {
				if i%2 == 0 {
					if _, err := mesh.Call(t.Context(), f.conn, subjects.GrantConsent, subjects.GrantConsentRequest{Scope: scope}, ada); err != nil {
						t.Error(err)
					}
					return
				}
				active, err := mesh.Call(t.Context(), f.conn, subjects.ListConsents, subjects.ListConsentsRequest{Status: subjects.ConsentActive}, ada)
				if err != nil || len(active.Items) > 1 {
					t.Errorf("%d active consents: %v", len(active.Items), err)
				}
				for _, c := range active.Items {
					_, err := mesh.Call(t.Context(), f.conn, subjects.RevokeConsent, subjects.RevokeConsentRequest{ConsentID: c.ID}, ada)
					if err != nil && subjects.CodeOf(err) != subjects.CodeConflict { // superseded meanwhile
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		consents := call(t, f, subjects.ListConsents, ada, subjects.ListConsentsRequest{PageRequest: subjects.PageRequest{Limit: 100}}).Items
		if len(consents) != parallel/2 {
			t.Fatalf("%d consents of %d grants", len(consents), parallel/2)
		}
		slices.Reverse(consents) // oldest first
		changes := 0
		for i, c := range consents {
			last := i == len(consents)-1
			history := f.history(t, ada, c.ID)
			changes += len(history)
			if len(history) == 0 || len(history) > 2 || history[0].Change != "granted" || !last && len(history) != 2 {
				t.Fatalf("consent %d of %d: %+v", i, len(consents), history)
			}
			if len(history) == 2 && (history[1].Change != c.Status || history[1].At.Before(history[0].At)) {
				t.Errorf("consent %d is %s, its history %+v", i, c.Status, history)
			}
			switch c.Status {
			case subjects.ConsentSuperseded:
				if last || c.SupersededBy != consents[i+1].ID {
					t.Errorf("consent %d is superseded by %s, and not by the next one", i, c.SupersededBy)
				}
			case subjects.ConsentActive:
				if !last {
					t.Errorf("consent %d of %d is active", i, len(consents))
				}
			}
		}
		v := f.verified(t, changes)
		if err := v.VerifyRecords(f.records(t)); err != nil {
			t.Error(err)
		}
		// The versions that guards read are counted without gaps too.
		latest := consents[len(consents)-1]
		f.grant(t, ada, scope)
		state, err := f.states(t).Get(t.Context(), kv.EncodeKey(user, scope))
		if err != nil || state.Value.Version != parallel/2+1 {
			t.Errorf("after %s the state is %+v, %v", latest.ID, state.Value, err)
		}
	})
}
