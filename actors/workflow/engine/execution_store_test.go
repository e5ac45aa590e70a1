package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
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
				rows := []*Row{{ID: "e", History: Packed(history)}}
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
				events, err := ReadHistory(t.Context(), db.DB, "e", after, limit, 0)
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
				{0, 0, "1 2 3 4 5 6"}, {1, 0, "2 3 4 5 6"}, {3, 0, "4 5 6"}, {4, 0, "5 6"}, {5, 0, "6"}, {6, 0, ""}, {0, 1, "1 2 3"}, {2, 1, "3"}, {4, 1, "5"}, {0, 4, "1 2 3 4 5"},
			} {
				if got := read(test.after, test.limit); got != test.want {
					t.Errorf("after %d, %d events: %s, want %s", test.after, test.limit, got, test.want)
				}
			}
			row, err := readExecution(t.Context(), db.DB, "e")
			if err != nil || row.History != "" {
				t.Errorf("an execution is read with its history %q, %v", row.History, err)
			}
		})
	}
}

// TestPagesOfALongHistoryCostAPage: a page of a long history that was projected at once reads a few runs of it, wherever it begins,
// and a projection that is repeated with more events replaces the runs that it wrote.
func TestPagesOfALongHistoryCostAPage(t *testing.T) {
	t.Parallel()
	const count, limit = 10_000, 100
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			db := kind.Open(t, "workflow", migrations.Files)
			events := make([]json.RawMessage, count)
			for i := range events {
				events[i] = json.RawMessage(strconv.Itoa(i + 1))
			}
			for round, part := range [][]json.RawMessage{events[:count/2+7], events} {
				batch := projectionBatch{executions: []projectedExecution{{
					execution: &execution{}, row: Row{ID: "e", UserID: "u", Events: int64(len(part))}, events: part, known: round > 0,
				}}}
				fresh, known, histories, _ := batch.rows()
				err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
					return storeExecutions(ctx, tx, fresh, known, histories)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			all, err := ReadHistory(t.Context(), db.DB, "e", 0, 0, 0)
			if err != nil || !slices.EqualFunc(all, events, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
				t.Fatalf("read %d events, %v", len(all), err)
			}
			for after := 0; after < count; after += limit {
				page, err := ReadHistory(t.Context(), db.DB, "e", int64(after), limit, 0)
				if err != nil || len(page) < min(limit, count-after) || string(page[0]) != strconv.Itoa(after+1) {
					t.Fatalf("after %d: %d events, %v", after, len(page), err)
				}
				if len(page) > limit+3*maxRunEvents {
					t.Fatalf("after %d: %d events were read for a page of %d", after, len(page), limit)
				}
			}
			if page, err := ReadHistory(t.Context(), db.DB, "e", 0, 0, 10); err != nil || len(page) > 3*maxRunEvents {
				t.Errorf("%d events of more than 10 bytes, %v", len(page), err)
			}
		})
	}
}
