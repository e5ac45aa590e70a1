package consent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent"
	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestPruning: after seven years whole bundles of entries are deleted from the tables, with a signed base; the ledger grows on, what is left of it
// verifies from the base, and so do the proofs of later entries and trees.
func TestPruning(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		config := consent.DefaultConfig()
		config.Retention, config.ExpiryNotice = consent.RetentionConfig{}, 0
		f := setupWith(t, database, config, actortest.WithClock(clock.Now), actortest.Quiet())
		user := actortest.User()
		as := f.user(t, user)
		var ids []string
		for range 130 { // each but the first also supersedes
			ids = append(ids, f.grant(t, as, subjects.ScopeWorkflowsRead).ID)
		}
		const entries, base = 259, 256
		f.verified(t, entries)
		first := f.history(t, as, ids[0])[0]
		last := f.history(t, as, ids[129])[0]
		earlier := call(t, f, subjects.LedgerCheckpoint, mesh.As{}, subjects.Empty{}).Body
		f.restartAt(t, &clock, subjects.LedgerKept-day)
		wantCode(t, f, subjects.CodeNotFound, subjects.LedgerBase, mesh.As{}, subjects.Empty{})
		f.restartAt(t, &clock, 2*day)
		actortest.Eventually(t, "the ledger is pruned", func() bool {
			_, err := mesh.Call(t.Context(), f.conn, subjects.LedgerBase, subjects.Empty{}, mesh.As{})
			return err == nil
		})
		published := f.published(t)
		published.Earlier = earlier
		v, err := published.Verify()
		if err != nil || v.Base != base || v.Tree.N != entries || len(v.Leaves) != entries-base {
			t.Fatalf("begins at %d of %d, with %d leaves: %v", v.Base, v.Tree.N, len(v.Leaves), err)
		}
		as = f.user(t, user)
		f.grant(t, as, subjects.ScopeWorkflowsExecute)
		actortest.Eventually(t, "the ledger grows on", func() bool { v, err = published.Verify(); return err == nil && v.Tree.N == entries+1 })
		admin := mesh.As{Token: f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
		if err := v.VerifyRecords(f.recordsFrom(t, admin, 0)); err != nil {
			t.Error(err)
		}
		wantCode(t, f, subjects.CodeNotFound, subjects.LedgerProof, mesh.As{}, subjects.LedgerProofRequest{EntryID: first.ID})
		proof := call(t, f, subjects.LedgerProof, mesh.As{}, subjects.LedgerProofRequest{EntryID: last.ID})
		messages := f.ledger(t)
		if tree, err := verifyProof(proof.Proof, messages[*proof.Index], published.Key); err != nil || tree != v.Tree {
			t.Errorf("the proof of a later entry: %v", err)
		}
		call(t, f, subjects.LedgerProof, mesh.As{}, subjects.LedgerProofRequest{From: base})
		if err := wantCode(t, f, subjects.CodeInvalid, subjects.LedgerProof, mesh.As{}, subjects.LedgerProofRequest{From: base - 1}); err.Fields[0].Field != "from" {
			t.Errorf("a tree before the base: %+v", err.Fields)
		}
		wantCode(t, f, subjects.CodeNotFound, subjects.LedgerTile, mesh.As{}, subjects.LedgerTileRequest{Path: "entries/000"})
		if n := f.host.Metric(t, "consent_ledger_missing_entries"); n != 0 {
			t.Errorf("%v entries are missing", n)
		}
	})
}

// TestNothingIsPrunedThatDoesNotVerify: where a bundle was changed in the tables, nothing is deleted.
func TestNothingIsPrunedThatDoesNotVerify(t *testing.T) {
	t.Parallel()
	var clock actortest.Clock
	config := consent.DefaultConfig()
	config.Retention = consent.RetentionConfig{}
	f := setupWith(t, actortest.Databases(t)[0], config, actortest.WithClock(clock.Now), actortest.Quiet())
	as := f.user(t, actortest.User())
	for range 130 {
		f.grant(t, as, subjects.ScopeWorkflowsRead)
	}
	f.verified(t, 259)
	f.stop(t)
	actortest.Exec(t, f.db, "UPDATE ledger_tiles SET data = zeroblob(length(data)) WHERE level = -1 AND n = 0")
	clock.Advance(subjects.LedgerKept + day)
	f.start(t)
	f.grant(t, f.user(t, actortest.User()), subjects.ScopeWorkflowsRead)
	actortest.Eventually(t, "the ledger grows on", func() bool { return f.host.Metric(t, "consent_ledger_entries") == 260 })
	wantCode(t, f, subjects.CodeNotFound, subjects.LedgerBase, mesh.As{}, subjects.Empty{})
}

// TestAShortenedLedgerIsSeen: the NATS user migrate may change streams, and so can make the server drop entries. It cannot do so unseen: the actor
// reports them, and the first that is lost is named by a verification of the records. No user can delete the stream, or purge it.
func TestAShortenedLedgerIsSeen(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	as := f.user(t, actortest.User())
	for _, scope := range subjects.Scopes()[:5] {
		f.grant(t, as, scope)
	}
	v := f.verified(t, 5)
	if n := f.host.Metric(t, "consent_ledger_missing_entries"); n != 0 {
		t.Errorf("%v entries are missing", n)
	}
	js := f.mesh.Conn(t, mesh.UserMigrate).JS
	stream, err := js.Stream(t.Context(), subjects.Ledger.Name)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	for what, change := range map[string]func(c *jetstream.StreamConfig){
		"allow deleting": func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"allow purging":  func(c *jetstream.StreamConfig) { c.DenyPurge = false },
	} {
		c := config
		change(&c)
		if _, err := js.UpdateStream(t.Context(), c); err == nil {
			t.Errorf("%s: the server has accepted it", what)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // a denied request has no answer
	defer cancel()
	if err := js.DeleteStream(ctx, subjects.Ledger.Name); err == nil {
		t.Error("the stream was deleted")
	}
	config.MaxMsgs = 2
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	f.stop(t)
	f.start(t)
	actortest.Eventually(t, "the actor reports the lost entries", func() bool { return f.host.Metric(t, "consent_ledger_missing_entries") == 3 })
	var fault *ledger.Fault
	if err := v.VerifyRecords(f.records(t)); !errors.As(err, &fault) || fault.Leaf != 0 {
		t.Errorf("verification says %v", err)
	}
	if _, err := f.published(t).Verify(); err != nil {
		t.Errorf("the tree: %v", err)
	}
}
