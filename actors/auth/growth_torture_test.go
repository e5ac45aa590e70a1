//go:build torture

package auth

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// TestGrowth: the lists, searches and sweeps of accounts and audit events cost at many rows what they cost at few. An account has a hundred events.
func TestGrowth(t *testing.T) {
	at := fmt.Sprintf("%d + i * 1000", time.Now().Add(-100*24*time.Hour).UnixMicro())
	actortest.Growth{
		Actor: "auth",
		Tables: []actortest.Filled{
			{Table: "users", Columns: map[string]string{
				"id": "{id i}", "email": "'u' || i || '@example.com'", "created_at": at, "roles": "CASE WHEN i = 5 THEN 'admin' ELSE 'user' END", "disabled": "i = 9",
			}},
			{Table: "audit_events", Columns: map[string]string{"id": "{id i}", "user_id": "{id i / 100}", "at": at, "action": "'login'", "outcome": "'success'"}},
		},
		Open: func(t *testing.T, kind actortest.Database) *database.DB {
			t.Helper()
			return kind.Open(t, "auth", Migrations)
		},
		Operations: func(t *testing.T, db *database.DB, n int) []actortest.Timed {
			t.Helper()
			user := actortest.FilledID(n / 200)
			users := func(name, prefix, after string) actortest.Timed {
				return actortest.Timed{Name: name, Run: func(ctx context.Context) error {
					found, err := listUsers(ctx, db.DB, prefix, after, 51)
					if err == nil && len(found) == 0 {
						return errNoUser
					}
					return err
				}}
			}
			return []actortest.Timed{
				users("accounts, first page", "", ""),
				users("accounts, deep page", "", actortest.FilledID(n/2)),
				users("accounts by address", "u77", ""),
				users("accounts by address, deep page", "u", "u77@example.com"),
				{Name: "other admins", Run: func(ctx context.Context) error { _, err := countOtherAdmins(ctx, db.DB, user); return err }},
				{Name: "disabled accounts", Run: func(ctx context.Context) error { _, err := disabledUsers(ctx, db.DB); return err }},
				{Name: "audit events, a page", Run: func(ctx context.Context) error { _, err := auditEvents(ctx, db.DB, user, 0, "", 51); return err }},
				{Name: "users with surplus events", Run: func(ctx context.Context) error {
					_, err := usersOfManyAuditEvents(ctx, db.DB, time.Now().Add(-2*auditSweepInterval), 1000)
					return err
				}},
				{Name: "old audit events, a batch of 200", Rows: 200, Run: func(ctx context.Context) error {
					return db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
						_, err := deleteAuditEvents(ctx, tx, time.Now().Add(-99*24*time.Hour), 200)
						return err
					})
				}},
			}
		},
	}.Test(t)
}
