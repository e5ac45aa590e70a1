package integration

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// tell puts an event about a connection into the transaction that changes it.
func (a *Actor) tell(ctx context.Context, tx database.Tx, event subjects.Event[subjects.ConnectionChange], c connectionRow) error {
	id := a.NewID()
	data, err := json.Marshal(event.New(id, c.UserID, a.Now(), subjects.ConnectionChange{
		IntegrationID: c.ID, Provider: c.Provider, Label: c.Label, Reason: c.Reason,
	}))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{ID: "event." + id, Subject: event.Subject, Key: c.ID, Data: data})
}
