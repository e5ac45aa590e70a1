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

// TestOldExecutionsAreDeleted: executions that ended longer ago than the retention are deleted with all their rows, those of others and running
// ones stay, as does a child whose parent runs.
func TestOldExecutionsAreDeleted(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		now := time.Now()
		db, user := kind.Open(t, "workflow", Migrations), uuid.NewString()
		a := &Actor{Deps: actors.Deps{DB: db, Now: func() time.Time { return now }}, config: Config{Retention: 24 * time.Hour}}
		events := int64(10)
		add := func(ended time.Duration, parent string) string {
			t.Helper()
			e := engine.Row{Events: events, ID: uuid.NewString(), UserID: user, WorkflowID: "w", Version: 1, ParentID: parent}
			if ended > 0 {
				e.EndedAt = now.Add(-ended).UnixMicro()
			}
			h := engine.HistoryRow{ExecutionID: e.ID, First: 1, Events: "[]"}
			request := approvalRow{ID: uuid.NewString(), UserID: user, ExecutionID: e.ID, Status: "approved"}
			mark := failureMarkRow{ID: e.ID, UserID: user, Status: "discarded"}
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
				return engine.Insert(ctx, tx, &e, &h, &request, &mark)
			})
			if err != nil {
				t.Fatal(err)
			}
			return e.ID
		}
		running, recent := add(0, ""), add(time.Hour, "")
		kept := []string{running, recent, add(48*time.Hour, running)}
		add(25*time.Hour, "")
		add(48*time.Hour, recent)
		for range retentionBatch {
			add(72*time.Hour, "")
		}
		events = retentionEvents // those of one are enough for a transaction
		add(36*time.Hour, "")
		add(36*time.Hour, "")
		for _, want := range []struct {
			left int
			more bool
		}{{7, true}, {5, true}, {4, true}, {3, false}, {3, false}} {
			more, err := a.deleteOldBatch(t.Context())
			left, _ := db.NewSelect().Model((*engine.Row)(nil)).Count(t.Context())
			if err != nil || more != want.more || left != int64(want.left) {
				t.Errorf("%d executions are left, more %t, %v, want %+v", left, more, err, want)
			}
		}
		slices.Sort(kept)
		for table, column := range map[string]string{"executions": "id", "execution_histories": "execution_id", "approvals": "execution_id", "failure_marks": "id"} {
			var got []string
			if err := db.NewSelect().Table(table).Column(column).Scan(t.Context(), &got); err != nil {
				t.Fatal(err)
			}
			if slices.Sort(got); !slices.Equal(got, kept) {
				t.Errorf("%s has %v, want %v", table, got, kept)
			}
		}
	})
}
