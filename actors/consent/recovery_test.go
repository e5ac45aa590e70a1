package consent_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestReconcileAfterCrash: at the start a consent that was recorded and not published comes into force, and a revocation
// that was published and not recorded is recorded.
func TestReconcileAfterCrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database)
		user := actortest.User()
		ada := f.user(t, user)
		unpublished := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		unrecorded := f.grant(t, ada, subjects.ScopeWorkflowsRead)
		f.grant(t, ada, subjects.ScopeIntegrationsRead)
		renewed := f.grant(t, ada, subjects.ScopeIntegrationsRead)
		states := f.states(t)
		if err := states.Delete(t.Context(), kv.EncodeKey(user, unpublished.Scope)); err != nil {
			t.Fatal(err)
		}
		for scope, state := range map[string]subjects.ConsentState{
			unrecorded.Scope: {ConsentID: unrecorded.ID, Version: 1, Status: subjects.ConsentRevoked},
			renewed.Scope:    {ConsentID: actortest.User(), Version: 1, Status: subjects.ConsentActive},
		} {
			if _, err := states.Put(t.Context(), kv.EncodeKey(user, scope), state); err != nil {
				t.Fatal(err)
			}
		}
		f.stop(t)
		f.start(t)
		actortest.Eventually(t, "the unpublished consent is in force", func() bool {
			return f.validate(t, ada, unpublished.Scope).ConsentID == unpublished.ID
		})
		actortest.Eventually(t, "the renewed consent has replaced the older state", func() bool {
			return f.validate(t, ada, renewed.Scope).ConsentID == renewed.ID
		})
		actortest.Eventually(t, "the revocation is recorded", func() bool { return f.get(t, ada, unrecorded.ID).Status == subjects.ConsentRevoked })
		if history := f.history(t, ada, unrecorded.ID); len(history) != 2 || history[1].Change != subjects.ConsentRevoked {
			t.Errorf("history: %+v", history)
		}
	})
}

// TestReconcileReadsEveryBatch: reconcile goes through more consents than it reads at a time.
func TestReconcileReadsEveryBatch(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		f.stop(t)
		const users = 501
		ids := make([]string, users)
		actortest.Write(t, f.db, func(ctx context.Context, tx database.Tx) error {
			for i := range ids {
				ids[i] = actortest.User()
				if err := insertConsent(ctx, tx, ids[i], subjects.ScopeWorkflowsRead); err != nil {
					return err
				}
			}
			return nil
		})
		f.start(t)
		last := f.user(t, ids[users-1])
		actortest.Eventually(t, "the last consent is in force", func() bool {
			return f.validate(t, last, subjects.ScopeWorkflowsRead).ConsentID == ids[users-1]
		})
		if d := f.validate(t, f.user(t, ids[0]), subjects.ScopeWorkflowsRead); !d.Allowed {
			t.Errorf("the first consent: %+v", d)
		}
	})
}

// TestLostKeyset: where the keyset was lost, a revocation is recorded all the same, under another subject of the ledger.
func TestLostKeyset(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, actortest.Quiet())
		ada := f.user(t, actortest.User())
		c := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		actortest.Eventually(t, "the grant is in the ledger", func() bool { return len(f.ledger(t)) == 1 })
		f.stop(t)
		f.keyset = filepath.Join(t.TempDir(), "another")
		f.start(t)
		if got := call(t, f, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID}); got.Status != subjects.ConsentRevoked {
			t.Errorf("revoked: %+v", got)
		}
		f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		actortest.Eventually(t, "the ledger has all changes", func() bool { return len(f.ledger(t)) == 3 })
		entries := decodeLedger(t, f)
		if entries[0].SubjectID == entries[1].SubjectID || entries[1].SubjectID != entries[2].SubjectID {
			t.Errorf("subjects %q, %q, %q", entries[0].SubjectID, entries[1].SubjectID, entries[2].SubjectID)
		}
	})
}

// TestDatabaseErrorsAreInternal: where the tables cannot be read, every endpoint that needs them answers internal, without
// the database's message, and validate_consent answers all the same.
func TestDatabaseErrorsAreInternal(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, actortest.Quiet())
		ada := f.user(t, actortest.User())
		c := f.grant(t, ada, subjects.ScopeWorkflowsExecute)
		request := subjects.ConsentRequest{ConsentID: c.ID}
		actortest.Exec(t, f.db, `ALTER TABLE consent_entries RENAME TO away_entries`)
		for _, err := range []*subjects.Error{
			wantCode(t, f, subjects.CodeInternal, subjects.GetConsentHistory, ada, subjects.ConsentHistoryRequest{ConsentRequest: request}),
			wantCode(t, f, subjects.CodeInternal, subjects.GrantConsent, ada, subjects.GrantConsentRequest{Scope: c.Scope}),
			wantCode(t, f, subjects.CodeInternal, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID}),
		} {
			wantNoDetail(t, err)
		}
		if got := f.get(t, ada, c.ID); got.Status != subjects.ConsentActive {
			t.Errorf("a failed change was recorded: %+v", got)
		}
		actortest.Exec(t, f.db, `ALTER TABLE consents RENAME TO away_consents`)
		for _, err := range []*subjects.Error{
			wantCode(t, f, subjects.CodeInternal, subjects.GetConsent, ada, request),
			wantCode(t, f, subjects.CodeInternal, subjects.GetReceipt, ada, subjects.ReceiptRequest{ConsentRequest: request}),
			wantCode(t, f, subjects.CodeInternal, subjects.ListConsents, ada, subjects.ListConsentsRequest{}),
			wantCode(t, f, subjects.CodeInternal, subjects.RevokeConsent, ada, subjects.RevokeConsentRequest{ConsentID: c.ID}),
			wantCode(t, f, subjects.CodeInternal, subjects.GetConsentHistory, ada, subjects.ConsentHistoryRequest{ConsentRequest: request}),
		} {
			wantNoDetail(t, err)
		}
		if d := f.validate(t, ada, c.Scope); d.Reason != subjects.ConsentRevoked {
			t.Errorf("the revocation that could not be recorded is not in force: %+v", d)
		}
	})
}

// wantNoDetail fails the test where an internal error tells more than that there was one.
func wantNoDetail(t *testing.T, err *subjects.Error) {
	t.Helper()
	if want := subjects.ProblemOf(errors.New("any"), "", "").Detail; err.Detail != want || len(err.Fields) > 0 {
		t.Errorf("an internal error says %q, %+v", err.Detail, err.Fields)
	}
}

// TestServerRestart: the actor answers again after a restart of the NATS server, from the states that it had written.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Databases(t)[0], actortest.Quiet())
	ada := f.user(t, actortest.User())
	f.grant(t, ada, subjects.ScopeWorkflowsExecute)
	f.mesh.RestartServer(t)
	actortest.Eventually(t, "the actor answers after a restart of the server", func() bool {
		d, err := mesh.Call(t.Context(), f.conn, subjects.ValidateConsent, subjects.ValidateConsentRequest{Scope: subjects.ScopeWorkflowsExecute}, ada)
		return err == nil && d.Allowed
	})
}
