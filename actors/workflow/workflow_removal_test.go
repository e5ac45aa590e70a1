package workflow

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
)

// TestDeletedWorkflowsAreRemoved: a deleted workflow counts until it is removed with its versions, an hour after its deletion. It is not
// while an execution of it is under way, nor is one that was not deleted.
func TestDeletedWorkflowsAreRemoved(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		now := time.Now()
		db, user := kind.Open(t, "workflow", Migrations), uuid.NewString()
		a := &Actor{Deps: actors.Deps{DB: db, Now: func() time.Time { return now }}}
		add := func(deleted time.Duration, running bool) string {
			t.Helper()
			w := workflowRow{ID: uuid.NewString(), UserID: user, Name: "w", Version: 1, Bytes: 1000}
			if deleted > 0 {
				w.DeletedAt = now.Add(-deleted).UnixMicro()
			}
			v := versionRow{WorkflowID: w.ID, Version: 1, Definition: "{}"}
			e := engine.Row{ID: uuid.NewString(), UserID: user, WorkflowID: w.ID, Version: 1, EndedAt: now.UnixMicro()}
			if running {
				e.EndedAt = 0
			}
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error { return engine.Insert(ctx, tx, &w, &v, &e) })
			if err != nil {
				t.Fatal(err)
			}
			return w.ID
		}
		kept := []string{add(0, false), add(30*time.Minute, false), add(2*time.Hour, true)}
		add(2*time.Hour, false)
		if more, err := a.removeDeletedBatch(t.Context()); err != nil || more {
			t.Fatalf("more are left: %t, %v", more, err)
		}
		var workflows, versions []string
		if err := db.NewSelect().Model((*workflowRow)(nil)).Column("id").Scan(t.Context(), &workflows); err != nil {
			t.Fatal(err)
		}
		if err := db.NewSelect().Model((*versionRow)(nil)).Column("workflow_id").Scan(t.Context(), &versions); err != nil {
			t.Fatal(err)
		}
		slices.Sort(kept)
		for _, got := range [][]string{workflows, versions} {
			if slices.Sort(got); !slices.Equal(got, kept) {
				t.Errorf("%v remain, want %v", got, kept)
			}
		}
		if used, err := definitionBytes(t.Context(), db.DB, user); err != nil || used != 3000 {
			t.Errorf("%d bytes are counted, %v", used, err)
		}
		if n := actortest.Count(t, db, "executions"); n != 4 {
			t.Errorf("%d executions remain", n)
		}
	})
}
