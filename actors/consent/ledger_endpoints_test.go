package consent_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// published reads the ledger over its endpoints, without any credentials.
func (f *fixture) published(t *testing.T) ledger.Published {
	t.Helper()
	key, err := ledger.NewVerifier(strings.TrimSpace(string(call(t, f, subjects.LedgerKey, mesh.As{}, subjects.Empty{}).Body)))
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Published{Key: key, Read: func(path string) ([]byte, error) {
		if path == "checkpoint" {
			return call(t, f, subjects.LedgerCheckpoint, mesh.As{}, subjects.Empty{}).Body, nil
		}
		document, err := mesh.Call(t.Context(), f.conn, subjects.LedgerTile, subjects.LedgerTileRequest{Path: strings.TrimPrefix(path, "tile/")}, mesh.As{})
		if subjects.CodeOf(err) == subjects.CodeNotFound {
			return nil, fs.ErrNotExist
		}
		return document.Body, err
	}}
}

// verified waits until the ledger has a number of entries, and verifies it.
func (f *fixture) verified(t *testing.T, entries int) ledger.Verified {
	t.Helper()
	var v ledger.Verified
	var err error
	actortest.Eventually(t, "entries in the ledger", func() bool {
		v, err = f.published(t).Verify()
		return len(v.Leaves) >= entries
	})
	if err != nil || len(v.Leaves) != entries {
		t.Fatalf("the ledger has %d entries, want %d: %v", len(v.Leaves), entries, err)
	}
	return v
}

// records reads the ledger's records as an admin.
func (f *fixture) records(t *testing.T) func() (subjects.LedgerRecord, error) {
	t.Helper()
	admin := mesh.As{Token: f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
	var page []subjects.LedgerRecord
	from := int64(0)
	return func() (subjects.LedgerRecord, error) {
		if len(page) == 0 {
			page = call(t, f, subjects.ListLedgerRecords, admin, subjects.LedgerRecordsRequest{From: from, Limit: 3}).Items
		}
		if len(page) == 0 {
			return subjects.LedgerRecord{}, io.EOF
		}
		r := page[0]
		page, from = page[1:], from+1
		return r, nil
	}
}

// TestChangedRecordsAreNamed: what somebody changes in the tables, past the actor, is named with the entry that commits to it.
func TestChangedRecordsAreNamed(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		as := f.user(t, actortest.User())
		var consents []string
		for _, scope := range subjects.Scopes()[:6] {
			consents = append(consents, call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: scope, Purpose: "mine"}).ID)
		}
		call(t, f, subjects.RevokeConsent, as, subjects.RevokeConsentRequest{ConsentID: consents[5], Reason: "enough"})
		v := f.verified(t, 7)
		if err := v.VerifyRecords(f.records(t)); err != nil {
			t.Fatal(err)
		}
		for _, change := range []struct {
			leaf     int64
			do, undo string
		}{
			{2, "UPDATE consents SET purpose = 'yours' WHERE id = '" + consents[2] + "'", "UPDATE consents SET purpose = 'mine' WHERE id = '" + consents[2] + "'"},
			{5, "UPDATE consents SET granted_at = granted_at + 1 WHERE id = '" + consents[5] + "'", "UPDATE consents SET granted_at = granted_at - 1 WHERE id = '" + consents[5] + "'"},
			{6, "UPDATE consents SET status = 'active' WHERE id = '" + consents[5] + "'", "UPDATE consents SET status = 'revoked' WHERE id = '" + consents[5] + "'"},
			{1, "UPDATE consent_entries SET reason = 'x' WHERE consent_id = '" + consents[1] + "'", "UPDATE consent_entries SET reason = '' WHERE consent_id = '" + consents[1] + "'"},
			{3, "UPDATE consents SET notice_hash = 'x' WHERE id = '" + consents[3] + "'", "UPDATE consents SET notice_hash = '' WHERE id = '" + consents[3] + "'"},
			{4, "UPDATE consents SET method = 'voice' WHERE id = '" + consents[4] + "'", "UPDATE consents SET method = 'unproven' WHERE id = '" + consents[4] + "'"},
			{2, "UPDATE consents SET guardian_name = 'x' WHERE id = '" + consents[2] + "'", "UPDATE consents SET guardian_name = '' WHERE id = '" + consents[2] + "'"},
			{1, "UPDATE consents SET purpose_version = 7 WHERE id = '" + consents[1] + "'", "UPDATE consents SET purpose_version = 1 WHERE id = '" + consents[1] + "'"},
			{6, "UPDATE consents SET suppressed_at = 7 WHERE id = '" + consents[5] + "'", "UPDATE consents SET suppressed_at = 0 WHERE id = '" + consents[5] + "'"},
			{0, "DELETE FROM consent_entries WHERE consent_id = '" + consents[0] + "'", ""},
		} {
			actortest.Exec(t, f.db, change.do)
			var fault *ledger.Fault
			if err := v.VerifyRecords(f.records(t)); !errors.As(err, &fault) || fault.Leaf != change.leaf {
				t.Errorf("%s: %v, want entry %d", change.do, err, change.leaf)
			}
			if change.undo != "" {
				actortest.Exec(t, f.db, change.undo)
			}
		}
	})
}

// verifyProof verifies an inclusion proof (C2SP tlog-proof) of an entry, and returns the tree of its checkpoint.
func verifyProof(text string, entry []byte, key note.Verifier) (tree tlog.Tree, err error) {
	head, signed, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	checkpoint, err := note.Open([]byte(signed), note.VerifierList(key))
	if err != nil || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return tree, fmt.Errorf("the form of the proof: %w", err)
	}
	var index int64
	var root string
	if _, err := fmt.Sscanf(lines[1], "index %d", &index); err != nil {
		return tree, err
	}
	if _, err := fmt.Sscanf(checkpoint.Text, key.Name()+"\n%d\n%s\n", &tree.N, &root); err != nil {
		return tree, err
	}
	if tree.Hash, err = tlog.ParseHash(root); err != nil {
		return tree, err
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return tree, err
		}
		proof = append(proof, hash)
	}
	leaf := sha256.Sum256(entry)
	return tree, tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf[:]))
}

// TestLedgerServesProofs: every change of a consent gets into the ledger, which anyone can verify, and each has a proof that verifies offline.
func TestLedgerServesProofs(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		as := f.user(t, "11111111-1111-4111-8111-111111111111")
		var entries []string
		for range 3 {
			c := call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead})
			page := call(t, f, subjects.GetConsentHistory, as, subjects.ConsentHistoryRequest{ConsentRequest: subjects.ConsentRequest{ConsentID: c.ID}})
			entries = append(entries, page.Items[0].ID)
		}
		first := f.verified(t, 5) // the second and the third grant supersede the one before
		key := f.published(t).Key
		records := map[string][]byte{}
		for i, e := range decodeLedger(t, f) {
			records[e.ID] = f.ledger(t)[i]
		}
		for _, id := range entries {
			proof := call(t, f, subjects.LedgerProof, mesh.As{}, subjects.LedgerProofRequest{EntryID: id})
			tree, err := verifyProof(proof.Proof, records[id], key)
			if err != nil || tree != first.Tree {
				t.Errorf("the proof of %s: %v, %v", id, tree, err)
			}
			if _, err := verifyProof(proof.Proof, append(records[id], ' '), key); err == nil {
				t.Errorf("the proof of %s verifies for another entry", id)
			}
		}
		consistency := call(t, f, subjects.LedgerProof, mesh.As{}, subjects.LedgerProofRequest{From: 2})
		if consistency.Size != 5 || len(consistency.Hashes) == 0 {
			t.Errorf("the consistency proof is %+v", consistency)
		}
		for field, request := range map[string]subjects.LedgerProofRequest{
			"entry_id": {}, "from": {From: 6}, "size": {From: 1, Size: 6},
		} {
			_, err := mesh.Call(t.Context(), f.conn, subjects.LedgerProof, request, mesh.As{})
			var e *subjects.Error
			if !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0].Field != field {
				t.Errorf("%+v: %v", request, err)
			}
		}
		if _, err := mesh.Call(t.Context(), f.conn, subjects.LedgerProof, subjects.LedgerProofRequest{EntryID: "unknown"}, mesh.As{}); subjects.CodeOf(err) != subjects.CodeNotFound {
			t.Errorf("an unknown entry: %v", err)
		}
	})
}

// TestLedgerIsOneForAllProcesses: several processes grow one tree; an entry that the stream has twice is in it once, and a restart continues it.
func TestLedgerIsOneForAllProcesses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		if kind.Name == "postgres" {
			f.start(t)
		}
		const users, each = 8, 6
		var group sync.WaitGroup
		for u := range users {
			as := f.user(t, "22222222-2222-4222-8222-22222222222"+string(rune('0'+u)))
			group.Go(func() {
				for range each {
					if _, err := mesh.Call(t.Context(), f.conn, subjects.GrantConsent, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead}, as); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		before := f.verified(t, users*(2*each-1))
		earlier := call(t, f, subjects.LedgerCheckpoint, mesh.As{}, subjects.Empty{}).Body
		conn := f.mesh.Conn(t, "consent")
		stream, err := conn.JS.Stream(t.Context(), subjects.Ledger.Name)
		if err != nil {
			t.Fatal(err)
		}
		repeated, err := stream.GetMsg(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.JS.Publish(t.Context(), repeated.Subject, repeated.Data, jetstream.WithExpectStream(subjects.Ledger.Name)); err != nil {
			t.Fatal(err)
		}
		f.stop(t)
		f.start(t)
		as := f.user(t, "33333333-3333-4333-8333-333333333333")
		call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead})
		f.verified(t, len(before.Leaves)+1)
		published := f.published(t)
		published.Earlier = earlier
		if _, err := published.Verify(); err != nil {
			t.Error(err)
		}
	})
}

// TestShortenedStream: where the stream is shorter than what was read of it, it is read again, and what is new gets into the tree all the same,
// once.
func TestShortenedStream(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		as := f.user(t, actortest.User())
		for _, scope := range subjects.Scopes()[:5] {
			f.grant(t, as, scope)
		}
		f.verified(t, 5)
		published := f.published(t)
		published.Earlier = call(t, f, subjects.LedgerCheckpoint, mesh.As{}, subjects.Empty{}).Body
		f.stop(t)
		actortest.Exec(t, f.db, "UPDATE ledger_state SET sequence = 1000")
		f.start(t)
		f.grant(t, as, subjects.Scopes()[5])
		v := f.verified(t, 6)
		if _, err := published.Verify(); err != nil {
			t.Error(err)
		}
		if err := v.VerifyRecords(f.records(t)); err != nil {
			t.Error(err)
		}
	})
}

// TestCheckpointCatchesUp: a tree that has grown while no checkpoint could be served has one after the next start.
func TestCheckpointCatchesUp(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		empty := call(t, f, subjects.LedgerCheckpoint, mesh.As{}, subjects.Empty{}).Body
		f.grant(t, f.user(t, actortest.User()), subjects.ScopeWorkflowsRead)
		f.verified(t, 1)
		f.stop(t)
		actortest.Exec(t, f.db, "UPDATE ledger_state SET checkpoint_size = 0, checkpoint = '"+string(empty)+"'")
		f.start(t)
		f.verified(t, 1)
	})
}

// TestLargeRecords: the records fit into the answers, however long the texts of users are.
func TestLargeRecords(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind, actortest.Quiet())
		as := f.user(t, actortest.User())
		for range 100 {
			call(t, f, subjects.GrantConsent, as, subjects.GrantConsentRequest{Scope: subjects.ScopeWorkflowsRead, Purpose: strings.Repeat("<", 500)})
		}
		f.verified(t, 199)
		admin := mesh.As{Token: f.mesh.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleAdmin))}
		records, answers := int64(0), 0
		for ; ; answers++ {
			list := call(t, f, subjects.ListLedgerRecords, admin, subjects.LedgerRecordsRequest{From: records, Limit: 500})
			if len(list.Items) == 0 {
				break
			}
			records += int64(len(list.Items))
		}
		if records != 199 || answers < 2 {
			t.Errorf("%d records in %d answers", records, answers)
		}
	})
}
