package dispatch_test

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// filled is a row of webhook_deliveries.
type filled struct {
	bun.BaseModel `bun:"table:webhook_deliveries"`

	EndpointID, ID, EventID, UserID, Type, Ordering, Status string
	Attempts, Base                                          int
	NextAttemptAt, CreatedAt, FinishedAt                    int64
}

// filledEvent is a row of webhook_events.
type filledEvent struct {
	bun.BaseModel `bun:"table:webhook_events"`

	UserID, ID, Type string
	At, CreatedAt    int64
	Payload          []byte
}

// fillRows stores deliveries of an event each, in a few statements. Delivery i is one of endpoint of(i), and has had some attempts.
func fillRows(ctx context.Context, tx database.Tx, f *fixture, of func(i int) dispatch.Endpoint, attempts, from, to int) error {
	now := time.Now().UnixMicro()
	rows := make([]filled, 0, to-from)
	events := make([]filledEvent, 0, to-from)
	for i := from; i < to; i++ {
		endpoint := of(i)
		id := fmt.Sprintf("event-%d", i)
		sealed, err := f.options.Sealer.Seal([]byte(benchPayload), []byte("webhook_events.payload/"+endpoint.UserID+"/"+id))
		if err != nil {
			return err
		}
		events = append(events, filledEvent{UserID: endpoint.UserID, ID: id, Type: "t", At: now, CreatedAt: now, Payload: sealed})
		rows = append(rows, filled{
			EndpointID: endpoint.ID, ID: newID(), EventID: id, UserID: endpoint.UserID, Type: "t", Status: dispatch.StatusPending,
			Attempts: attempts, NextAttemptAt: now, CreatedAt: now,
		})
	}
	if _, err := tx.NewInsert().Model(&events).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewInsert().Model(&rows).Exec(ctx)
	return err
}
