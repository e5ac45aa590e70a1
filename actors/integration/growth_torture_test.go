//go:build torture

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// TestGrowth: the lists and sweeps of calls cost at many rows what they cost at few. A connection has a thousand.
func TestGrowth(t *testing.T) {
	from := time.Now().Add(-100 * 24 * time.Hour).UnixMicro()
	actortest.Growth{
		Actor: "integration",
		Tables: []actortest.Filled{{Table: "calls", Columns: map[string]string{
			"id": "{id i}", "user_id": "{id i / 1000}", "connection_id": "{id i / 1000}", "provider": "'github'", "action": "'list_issues'", "caller": "'user'",
			"at": fmt.Sprintf("%d + i * 1000", from), "duration": "1000", "status": "CASE WHEN i % 100 = 7 THEN 'error' ELSE 'ok' END", "attempts": "1",
		}}},
		Open: func(t *testing.T, kind actortest.Database) *database.DB {
			t.Helper()
			return kind.Open(t, "integration", Migrations)
		},
		Operations: func(t *testing.T, db *database.DB, n int) []actortest.Timed {
			t.Helper()
			user := actortest.FilledID(n / 2000)
			page := func(name string, r subjects.ListCallsRequest, after string) actortest.Timed {
				r.IntegrationID = user
				return actortest.Timed{Name: name, Run: func(ctx context.Context) error {
					rows, err := pageOfCalls(ctx, db.DB, user, r, after)
					if err == nil && len(rows) == 0 {
						return errNoConnection
					}
					return err
				}}
			}
			return []actortest.Timed{
				page("calls, first page", subjects.ListCallsRequest{}, ""),
				page("calls, deep page", subjects.ListCallsRequest{}, actortest.FilledID(n/2000*1000+200)),
				page("failed calls", subjects.ListCallsRequest{Status: "error"}, ""),
				{Name: "last failures", Run: func(ctx context.Context) error { _, err := lastFailures(ctx, db.DB, user, "github", 10); return err }},
				{Name: "connections with surplus calls", Run: func(ctx context.Context) error {
					_, err := connectionsWithMoreCalls(ctx, db.DB, time.Now().Add(-time.Hour).UnixMicro(), 1000)
					return err
				}},
				{Name: "old calls, a batch of 200", Rows: 200, Run: func(ctx context.Context) error {
					return db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
						_, err := deleteCallsBefore(ctx, tx, from+int64(n)*1000, 200)
						return err
					})
				}},
			}
		},
	}.Test(t)
}
