//go:build torture

package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/subjects"
)

// grownUser is the user of all rows.
const grownUser = "01a22cbd-5ccf-7601-8efb-92c7a295b325"

// grownAt is the creation of the first of all rows, and grownPause the time between two. The first have ended before the retention.
var grownAt = time.Now().Add(-200 * 24 * time.Hour).UnixMicro()

const grownPause = 1000

// filledExecutions have one in a hundred that faulted and one in fifty that runs, and nine of ten are of one workflow.
func filledExecutions() []actortest.Filled {
	at := fmt.Sprintf("%d + i * %d", grownAt, grownPause)
	return []actortest.Filled{
		{Table: "executions", Columns: map[string]string{
			"id": "{id i}", "user_id": "'" + grownUser + "'", "workflow_id": "{id CASE i % 10 WHEN 0 THEN 0 ELSE 4 END}", "version": "1", "name": "'grown'", "partition": "i % 16",
			"status": "CASE WHEN i % 100 = 7 THEN 'faulted' WHEN i % 50 = 3 THEN 'running' ELSE 'completed' END", "events": "14",
			"evicted":    "i % 50 = 3",
			"created_at": at, "started_at": at, "ended_at": "CASE WHEN i % 50 = 3 THEN 0 ELSE " + at + " END", "attributes": `'{"customer":"c1"}'`,
			"input": "'{}'", "output": "'{}'", "history": `'[{"type":"execution_started"},"` + strings.Repeat("x", 250) + `"]'`,
		}},
		{Table: "execution_histories", Columns: map[string]string{"execution_id": "{id i}", "first": "2", "events": "'[]'"}},
	}
}

// TestGrowth: lists, searches, deep pages, counts and the retention of executions cost at many rows what they cost at few.
func TestGrowth(t *testing.T) {
	actortest.Growth{
		Actor:  "workflow",
		Tables: filledExecutions(),
		Open: func(t *testing.T, kind actortest.Database) *database.DB {
			t.Helper()
			return kind.Open(t, "workflow", Migrations)
		},
		Operations: func(t *testing.T, db *database.DB, n int) []actortest.Timed {
			t.Helper()
			a := &Actor{Deps: actors.Deps{DB: db, Now: time.Now, Log: zap.NewNop()}, config: Config{Retention: 90 * 24 * time.Hour}}
			page := func(name string, r subjects.ListExecutionsRequest, attributes map[string]string, after int) actortest.Timed {
				return actortest.Timed{Name: name, Run: func(ctx context.Context) error {
					at, id := int64(0), ""
					if after > 0 {
						at, id = grownAt+int64(after)*grownPause, actortest.FilledID(after)
					}
					rows, last, err := engine.PageOfExecutions(ctx, db.DB, grownUser, r, attributes, at, id)
					if err == nil && len(rows) == 0 && last == nil && n > 10_000 {
						return errors.New("no rows")
					}
					return err
				}}
			}
			scanned := page("executions with an attribute that none has", subjects.ListExecutionsRequest{}, map[string]string{"customer": "c2"}, 0)
			// Either the executions of the workflow or the faulted ones of the user are read until the page is full.
			faulted := page("faulted executions of a workflow", subjects.ListExecutionsRequest{Status: "faulted", WorkflowID: actortest.FilledID(4)}, nil, 0)
			scanned.Scans, faulted.Scans = true, true
			return []actortest.Timed{
				page("executions, first page", subjects.ListExecutionsRequest{}, nil, 0),
				page("executions, deep page", subjects.ListExecutionsRequest{}, nil, n/2),
				page("executions of a workflow, deep page", subjects.ListExecutionsRequest{WorkflowID: actortest.FilledID(4)}, nil, n/2),
				page("faulted executions", subjects.ListExecutionsRequest{Status: "faulted"}, nil, 0),
				page("running executions, deep page", subjects.ListExecutionsRequest{Status: "running"}, nil, n/2),
				faulted,
				scanned,
				{Name: "failures", Run: func(ctx context.Context) error {
					_, err := failedExecutions(ctx, db.DB, failureQuery{userID: grownUser, status: subjects.FailureOpen, limit: 51})
					return err
				}},
				{Name: "history of an execution", Run: func(ctx context.Context) error {
					_, err := engine.ReadHistory(ctx, db.DB, actortest.FilledID(n/2), 0, 0, 0)
					return err
				}},
				{Name: "retention, a batch", Rows: retentionBatch, Run: func(ctx context.Context) error {
					_, err := a.deleteOldBatch(ctx)
					return err
				}},
			}
		},
	}.Test(t)
}

// TestRetentionKeepsUp: old executions are deleted at a thousand a second at least, and no other writer waits long for it.
func TestRetentionKeepsUp(t *testing.T) {
	const rows = 40_000
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			db := kind.Open(t, "workflow", Migrations)
			for _, table := range filledExecutions() {
				actortest.Fill(t, db, table, 0, rows)
			}
			a := &Actor{Deps: actors.Deps{DB: db, Now: time.Now, Log: zap.NewNop()}, config: Config{Retention: 90 * 24 * time.Hour}}
			done := make(chan struct{})
			var waits []time.Duration
			go func() {
				defer close(done)
				for ctx := t.Context(); ctx.Err() == nil; {
					start := time.Now()
					err := db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
						_, err := tx.NewUpdate().Model((*engine.Row)(nil)).Set("watched = ?", true).Where("id = ?", actortest.FilledID(3)).Exec(ctx)
						return err
					})
					if err != nil {
						t.Error(err)
						return
					}
					if waits = append(waits, time.Since(start)); len(waits) > 1_000_000 {
						return
					}
					if left, err := oldExecutions(ctx, db.DB, time.Now().Add(-a.config.Retention), 1); err != nil || len(left) == 0 {
						return
					}
				}
			}()
			start := time.Now()
			for more := true; more; {
				var err error
				if more, err = a.deleteOldBatch(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			took := time.Since(start)
			<-done
			slices.Sort(waits)
			rate, p99, longest := rows/took.Seconds(), waits[len(waits)*99/100], waits[len(waits)-1]
			t.Logf("%.0f executions a second; %d writers beside them waited %v at p50, %v at p99, %v at most", rate, len(waits), waits[len(waits)/2], p99, longest)
			if rate < 1000 || p99 > 200*time.Millisecond {
				t.Errorf("%.0f executions a second, want 1000; p99 %v, want 200ms", rate, p99)
			}
		})
	}
}
