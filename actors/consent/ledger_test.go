package consent_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// ledgerEntry is an entry of the ledger as any reader of the stream sees it.
type ledgerEntry struct {
	ID         string    `json:"id"`
	SubjectID  string    `json:"subject_id"`
	ConsentID  string    `json:"consent_id"`
	Scope      string    `json:"scope"`
	Change     string    `json:"change"`
	At         time.Time `json:"at"`
	Sealed     []byte    `json:"sealed"`
	Commitment []byte    `json:"commitment"`
	Consents   []string  `json:"consents"`
}

func decodeLedger(t *testing.T, f *fixture) []ledgerEntry {
	t.Helper()
	var entries []ledgerEntry
	for _, data := range f.ledger(t) {
		var e ledgerEntry
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// TestEveryChangeReachesLedgerAndEvents: both streams hold each change of the history once; the ledger names the user by
// a pseudonym, the same for all of the user's entries.
func TestEveryChangeReachesLedgerAndEvents(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user, other := actortest.User(), actortest.User()
		ada, eve := f.user(t, user), f.user(t, other)
		const scope, purpose, reason = subjects.ScopeWorkflowsExecute, "ada's own purpose", "ada's own reason"
		request := subjects.GrantConsentRequest{Scope: scope, Purpose: purpose}
		first, second := call(t, f, subjects.GrantConsent, ada, request), call(t, f, subjects.GrantConsent, ada, request)
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: second.ID, Reason: reason})
		call(t, f, subjects.GrantConsent, eve, request)
		events := func() []subjects.Envelope[subjects.ConsentEntry] {
			return actortest.Events[subjects.ConsentEntry](t, f.mesh, subjects.ConsentChanged.Subject)
		}
		actortest.Eventually(t, "both streams hold five changes", func() bool { return len(f.ledger(t)) == 5 && len(events()) == 5 })

		history := map[string]subjects.ConsentEntry{}
		for _, id := range []string{first.ID, second.ID} {
			for _, e := range f.history(t, ada, id) {
				history[e.ID] = e
			}
		}
		pseudonyms := map[string]int{}
		for _, e := range decodeLedger(t, f) {
			pseudonyms[e.SubjectID]++
			if len(e.Sealed) == 0 || e.Scope != scope {
				t.Errorf("entry %+v", e)
			}
			if want, ok := history[e.ID]; ok && (e.ConsentID != want.ConsentID || e.Change != want.Change || !e.At.Equal(want.At)) {
				t.Errorf("ledger %+v, history %+v", e, want)
			}
		}
		if len(pseudonyms) != 2 || pseudonyms[user] != 0 || pseudonyms[other] != 0 {
			t.Errorf("subjects: %v", pseudonyms)
		}
		text := string(bytes.Join(f.ledger(t), nil))
		for _, secret := range []string{user, other, purpose, reason} {
			if strings.Contains(text, secret) {
				t.Errorf("the ledger has %q in clear", secret)
			}
		}
		byUser := map[string]int{}
		for _, e := range events() {
			byUser[e.UserID]++
			want, ok := history[e.ID]
			want.Reason = "" // a stream cannot erase the user's own words
			if ok && e.Data != want {
				t.Errorf("event %+v, history %+v", e.Data, want)
			}
		}
		if byUser[user] != 4 || byUser[other] != 1 || len(history) != 4 {
			t.Errorf("events by user %v, history %+v", byUser, history)
		}
	})
}

// TestLedgerIsAppendOnly: not even the consent actor and the setup user may delete an entry.
func TestLedgerIsAppendOnly(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	f.grant(t, f.user(t, actortest.User()), subjects.ScopeWorkflowsRead)
	actortest.Eventually(t, "the grant is in the ledger", func() bool { return len(f.ledger(t)) == 1 })
	for _, user := range []string{"consent", mesh.UserMigrate} {
		stream, err := f.mesh.Conn(t, user).JS.Stream(t.Context(), subjects.Ledger.Name)
		if err != nil {
			continue // may not even look at it
		}
		if err := stream.DeleteMsg(t.Context(), 1); err == nil {
			t.Errorf("%s deleted an entry", user)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeKeep(0)); err == nil {
			t.Errorf("%s purged the ledger", user)
		}
	}
	if len(f.ledger(t)) != 1 {
		t.Error("the entry is gone")
	}
}

func TestChangesAreCounted(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		ada := f.user(t, actortest.User())
		const scope = subjects.ScopeWorkflowsExecute
		f.grant(t, ada, scope)
		second, _, err := actortest.CallKeyed(t.Context(), f.conn, subjects.GrantConsent, subjects.GrantConsentRequest{Scope: scope}, ada.Token, "key")
		if err != nil {
			t.Fatal(err)
		}
		call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: second.ID})
		for change, want := range map[string]float64{"granted": 2, "superseded": 1, "revoked": 1} {
			if n := f.host.Metric(t, "consent_changes_total", change, scope); n != want {
				t.Errorf("%v changes %s counted, want %v", n, change, want)
			}
		}
	})
}
