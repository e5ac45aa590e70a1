package actors

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// Forget binds what an actor does when an account is deleted: erase forgets what it holds of the user, and of the user's
// aliases, or takes from it what tells whose it was. It may be called at any time again, and returns how many records it
// found. The actor answers auth with told once erase has returned, and for what fails it is called again.
func OnErasure(
	d Deps, s subjects.Subscription[subjects.AccountDeletion], told subjects.Event[subjects.Erasure],
	erase func(ctx context.Context, who subjects.AccountDeletion) (items int64, err error),
) Worker {
	return Listen(s, func(ctx context.Context, e subjects.Envelope[subjects.AccountDeletion]) error {
		if e.Data.UserID == "" {
			return subjects.Errorf(subjects.CodeInvalid, "the deletion names no user")
		}
		items, err := erase(ctx, e.Data)
		if err != nil {
			return fmt.Errorf("forgetting a user: %w", err)
		}
		return d.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			// Named after the deletion that it answers, so that its own repetition is not told twice.
			id := e.ID + "." + s.Owner
			answer, err := json.Marshal(told.New(id, "", d.Now(), subjects.Erasure{
				ErasureID: e.Data.ErasureID, Actor: s.Owner, Round: e.Data.Round, Items: items,
			}))
			if err != nil {
				return fmt.Errorf("encoding an event: %w", err)
			}
			return d.Outbox.Add(ctx, tx, outbox.Message{ID: "event." + id, Subject: told.Subject, Key: e.Data.ErasureID, Data: answer})
		})
	})
}
