package consent_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestADeletedAccountIsForgotten: the consents are revoked at every guard and stay as nobody's; the ledger keeps every
// entry as it was, and says nothing of whose it is.
func TestADeletedAccountIsForgotten(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		user, other := actortest.User(), actortest.User()
		ada, eve := mesh.As{Token: b.mesh.Token(t, user)}, mesh.As{Token: b.mesh.Token(t, other)}
		const purpose, reason = "ada's own purpose", "ada's own reason"
		for _, scope := range subjects.Scopes()[:3] {
			call(t, b, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: scope, Purpose: purpose})
		}
		kept := call(t, b, subjects.GrantConsent, eve, subjects.GrantConsentRequest{Scope: subjects.Scopes()[0]})
		first := call(t, b, subjects.ListConsents, ada, subjects.ListConsentsRequest{}).Items[0]
		call(t, b, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: first.ID, Reason: reason})
		ledger := func() [][]byte { return b.mesh.Messages(t, subjects.Ledger.Name, subjects.Ledger.Subjects[0]) }
		actortest.Eventually(t, "the ledger has five entries", func() bool { return len(ledger()) == 5 })
		before := ledger()

		conn := b.mesh.Connect(t, "integration")
		presence, err := mesh.Join(t.Context(), conn, b.mesh.Log)
		if err != nil {
			t.Fatal(err)
		}
		guard, err := actors.NewGuard(t.Context(), conn, presence, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if answer := b.mesh.Forget(t, "consent", user); answer.Items != 3 {
			t.Errorf("answered %+v", answer)
		}
		for _, scope := range subjects.Scopes()[:3] {
			if _, err := guard.Check(t.Context(), user, scope); subjects.CodeOf(err) != subjects.CodeConsentRequired {
				t.Errorf("the guard says of %s: %v", scope, err)
			}
		}
		if got := call(t, b, subjects.ListConsents, ada, subjects.ListConsentsRequest{}); len(got.Items) != 0 {
			t.Errorf("consents are left: %+v", got.Items)
		}
		if again := b.mesh.Forget(t, "consent", user); again.Items != 0 {
			t.Errorf("forgetting twice answered %+v", again)
		}
		if d := call(t, b, subjects.ValidateConsent, eve, subjects.ValidateConsentRequest{Scope: kept.Scope}); !d.Allowed {
			t.Errorf("another's consent: %+v", d)
		}

		actortest.Eventually(t, "the ledger has the revocations", func() bool { return len(ledger()) == 7 })
		after := ledger()
		if !slices.EqualFunc(before, after[:len(before)], bytes.Equal) {
			t.Error("entries of the ledger have changed")
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		tables, entries := actortest.Dump(t, b.db), string(bytes.Join(after, []byte("\n")))
		for what, text := range map[string]string{"id": user, "purpose": purpose, "reason": reason} {
			if strings.Contains(tables, text) {
				t.Errorf("the tables still have the %s", what)
			}
			if strings.Contains(entries, text) {
				t.Errorf("the ledger has the %s in clear", what)
			}
		}
		if !strings.Contains(tables, other) || !strings.Contains(tables, first.ID) {
			t.Error("the tables have lost more than whose the consents were")
		}
	})
}
