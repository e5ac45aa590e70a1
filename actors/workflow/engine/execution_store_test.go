package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/migrations"
)

// TestHistoryIsReadAcrossItsRuns projects an execution several times, as after projections of unknown outcome, and reads its history from
// after each of its events.
func TestHistoryIsReadAcrossItsRuns(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			db := kind.Open(t, "workflow", migrations.Files)
			project := func(fresh bool, history string, runs ...HistoryRow) {
				t.Helper()
				rows := []Row{{ID: "e", History: history}}
				err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
					if fresh {
						return storeExecutions(ctx, tx, rows, nil, runs)
					}
					return storeExecutions(ctx, tx, nil, rows, runs)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			read := func(after int64, limit int) string {
				t.Helper()
				events, err := ReadHistory(t.Context(), db.DB, "e", after, limit)
				if err != nil {
					t.Fatal(err)
				}
				var text []string
				for _, event := range events {
					text = append(text, string(event))
				}
				return strings.Join(text, " ")
			}
			project(true, "[1,2]")
			project(false, "[1,2,3]")
			project(false, "", HistoryRow{ExecutionID: "e", First: 4, Events: "[4]"})
			project(false, "", HistoryRow{ExecutionID: "e", First: 4, Events: "[4,5]"})
			project(false, "", HistoryRow{ExecutionID: "e", First: 6, Events: "[6]"})
			for _, test := range []struct {
				after int64
				limit int
				want  string
			}{
				{0, 0, "1 2 3 4 5 6"}, {1, 0, "2 3 4 5 6"}, {3, 0, "4 5 6"}, {4, 0, "5 6"}, {5, 0, "6"}, {6, 0, ""}, {0, 1, "1 2 3"}, {2, 1, "3"}, {4, 1, "5"},
			} {
				if got := read(test.after, test.limit); got != test.want {
					t.Errorf("after %d, %d runs: %s, want %s", test.after, test.limit, got, test.want)
				}
			}
			row, err := readExecution(t.Context(), db.DB, "e")
			if err != nil || row.History != "" {
				t.Errorf("an execution is read with its history %q, %v", row.History, err)
			}
		})
	}
}
