package consent_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestGrantsOfADayAreBounded: beyond the number of a day a grant is refused and changes nothing; a revocation never is, and another user
// is not concerned.
func TestGrantsOfADayAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		config := consent.DefaultConfig()
		config.MaxGrantsPerDay = 2
		f := setupWith(t, database, config)
		ada := f.user(t, actortest.User())
		f.grant(t, ada, subjects.ScopeWorkflowsRead)
		second := f.grant(t, ada, subjects.ScopeWorkflowsRead)
		_, err := mesh.Call(t.Context(), f.conn, subjects.GrantConsent, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead}, ada)
		if subjects.CodeOf(err) != subjects.CodeRateLimited || !strings.Contains(err.Error(), "(consent.max_grants_per_day)") {
			t.Errorf("a third grant: %v", err)
		}
		if c := f.get(t, ada, second.ID); c.Status != subjects.ConsentActive {
			t.Errorf("after a refused grant the second one is %+v", c)
		}
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: second.ID})
		limits := call(t, f, subjects.GetConsentLimits, ada, subjects.Empty{}).Items
		if len(limits) != 2 || *limits[0].Used != 2 || limits[0].Period != 24*3600 {
			t.Errorf("the limits are %+v", limits)
		}
		f.grant(t, f.user(t, actortest.User()), subjects.ScopeWorkflowsRead)
	})
}
