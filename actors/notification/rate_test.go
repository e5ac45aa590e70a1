package notification

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// TestPlacesInARate: whenever deliveries ask for a place, no hour has more places than the rate, each place is the earliest that leaves the earlier
// ones as they are, and none is in the past.
func TestPlacesInARate(t *testing.T) {
	t.Parallel()
	db := actortest.Databases(t)[0].Open(t, "notification", Migrations)
	s := store{db: db}
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		user := fmt.Sprintf("user-%d", round)
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		now := time.Unix(1_700_000_000, 0)
		var places []time.Time
		for n, pause := range rapid.SliceOfN(rapid.IntRange(0, 5000), 1, 12).Draw(t, "pauses") {
			now = now.Add(time.Duration(pause) * time.Second)
			d := deliveryRow{NotificationID: fmt.Sprintf("%s-%d", user, n), Channel: "email", UserID: user, Category: categorySystem, Status: statusDeferred}
			err := db.RunInTx(context.Background(), func(ctx context.Context, tx database.Tx) error {
				at, err := s.slot(ctx, tx, d, limit, now)
				if err != nil {
					return err
				}
				d.SlotAt = at.UnixMicro()
				_, err = tx.NewInsert().Model(&d).Exec(ctx)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			want := now
			if n >= limit {
				if free := places[n-limit].Add(ratePeriod); free.After(now) {
					want = free
				}
			}
			if at := time.UnixMicro(d.SlotAt); !at.Equal(want) {
				t.Fatalf("place %d at %v, want %v", n, at, want)
			}
			places = append(places, time.UnixMicro(d.SlotAt))
		}
		for n := limit; n < len(places); n++ {
			if places[n].Sub(places[n-limit]) < ratePeriod {
				t.Fatalf("%d places within an hour: %v", limit+1, places[n-limit:n+1])
			}
		}
	})
}
