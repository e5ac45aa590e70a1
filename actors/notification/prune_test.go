package notification

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/outbox"
)

// TestOldNotificationsAreReplaced: of a user's notifications the newest remain, by number and by size. Those that are scheduled or still
// to be delivered remain in any case, and so do other users'.
func TestOldNotificationsAreReplaced(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "notification", Migrations)
		config := DefaultConfig()
		config.MaxKeptPerUser, config.MaxKeptBytesPerUser = 5, 1000
		box := outbox.New(outbox.Config{DB: db})
		d := actors.Deps{DB: db, Metrics: prometheus.NewRegistry(), Outbox: box, Now: time.Now}
		a := &Actor{pipeline: &pipeline{Deps: d, config: config, store: store{db: db}, bounds: newBounds(d, config)}}
		add := func(user, id, status string, started bool, size int) {
			t.Helper()
			n := notificationRow{ID: id, UserID: user, Category: "system", Content: strings.Repeat("x", size), InApp: true, Started: started}
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
				return a.store.insert(ctx, tx, &n, []deliveryRow{{NotificationID: id, Channel: channel.InApp, Status: status}})
			})
			if err != nil {
				t.Fatal(err)
			}
			a.bounds.note(user)
		}
		add("ada", "00", statusPending, false, 10)
		add("ada", "01", statusPending, true, 10)
		for n := range 10 {
			add("ada", fmt.Sprintf("1%d", n), statusDelivered, true, 10)
		}
		for n := range 4 {
			add("eve", fmt.Sprintf("2%d", n), statusDelivered, true, 400)
		}
		add("bob", "30", statusDelivered, true, 5000)
		if err := a.prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		var left []string
		if err := db.NewSelect().Model((*notificationRow)(nil)).Column("id").Order("id").Scan(t.Context(), &left); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(left, " "), "00 01 15 16 17 18 19 22 23"; got != want {
			t.Errorf("%s remain, want %s", got, want)
		}
		if n := actortest.Count(t, db, "deliveries"); n != len(left) {
			t.Errorf("%d deliveries remain", n)
		}
	})
}
