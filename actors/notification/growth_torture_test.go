//go:build torture

package notification

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// TestGrowth: the inbox, counts and sweeps of notifications cost at many rows what they cost at few. A user has a thousand.
func TestGrowth(t *testing.T) {
	at := fmt.Sprintf("%d + i * 1000", time.Now().Add(-100*24*time.Hour).UnixMicro())
	actortest.Growth{
		Actor: "notification",
		Tables: []actortest.Filled{
			{Table: "notifications", Columns: map[string]string{
				"id": "{id i}", "user_id": "{id i / 1000}", "category": "'info'", "content": "'a text of forty bytes, sealed and in Base64'", "bytes": "43",
				"in_app": "TRUE", "started": "TRUE", "created_at": at, "send_at": at, "read_at": "i % 2",
			}},
			{Table: "deliveries", Columns: map[string]string{"notification_id": "{id i}", "channel": "'in_app'", "status": "'delivered'", "updated_at": at}},
		},
		Open: func(t *testing.T, kind actortest.Database) *database.DB {
			t.Helper()
			return kind.Open(t, "notification", Migrations)
		},
		Operations: func(t *testing.T, db *database.DB, n int) []actortest.Timed {
			t.Helper()
			s, user := store{db}, actortest.FilledID(n/2000)
			inbox := func(name string, r subjects.ListNotificationsRequest, after string) actortest.Timed {
				return actortest.Timed{Name: name, Run: func(ctx context.Context) error {
					rows, err := s.inbox(ctx, user, r, after)
					if err == nil && len(rows) == 0 {
						return errNoNotification
					}
					return err
				}}
			}
			return []actortest.Timed{
				inbox("inbox, first page", subjects.ListNotificationsRequest{}, ""),
				inbox("inbox, deep page", subjects.ListNotificationsRequest{}, actortest.FilledID(n/2000*1000+200)),
				inbox("inbox, unread", subjects.ListNotificationsRequest{Unread: true}, ""),
				{Name: "unread count", Run: func(ctx context.Context) error { _, err := s.unreadCount(ctx, user); return err }},
				{Name: "notifications and bytes that are kept", Run: func(ctx context.Context) error {
					if _, err := countKept(ctx, db.DB, user); err != nil {
						return err
					}
					_, err := keptBytes(ctx, db.DB, user)
					return err
				}},
				{Name: "due notifications", Run: func(ctx context.Context) error { _, err := s.due(ctx, time.Now(), nil, 100); return err }},
				{Name: "old account mail", Run: func(ctx context.Context) error {
					return db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return s.deleteAccountMail(ctx, tx, time.Now()) })
				}},
				{Name: "surplus notifications, ten of a user", Rows: 10, Run: func(ctx context.Context) error {
					return db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
						kept, err := countKept(ctx, tx, user)
						if err != nil {
							return err
						}
						_, err = s.deleteSurplus(ctx, tx, user, kept-10, 1<<30, time.Now())
						return err
					})
				}},
			}
		},
	}.Test(t)
}
