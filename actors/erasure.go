package actors

import (
	"context"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/deferred"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// OnErasure binds an actor's erasure handler to the deletion of accounts. erase deletes or pseudonymises what the actor holds of the
// user and of the user's aliases, and returns the number of records. It must be repeatable, because it is called again after a failure
// or a repeated delivery. When it has returned and the database's files have nothing left of what it deleted, the actor publishes
// report, which auth waits for.
func OnErasure(
	d Deps, s subjects.Subscription[subjects.AccountDeletion], report subjects.Event[subjects.Erasure],
	erase func(ctx context.Context, deletion subjects.AccountDeletion) (items int64, err error),
) Worker {
	return Listen(s, func(ctx context.Context, e subjects.Envelope[subjects.AccountDeletion]) error {
		if e.Data.UserID == "" {
			return subjects.Errorf(subjects.CodeInvalid, "the deletion names no user")
		}
		items, err := erase(ctx, e.Data)
		if err != nil {
			return fmt.Errorf("erasing a user's data: %w", err)
		}
		err = d.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return deferred.DeleteUser(ctx, tx, append(slices.Clone(e.Data.Aliases), e.Data.UserID)...)
		})
		if err != nil {
			return fmt.Errorf("erasing a user's data: %w", err)
		}
		if err := d.Outbox.Settle(ctx); err != nil {
			return fmt.Errorf("erasing a user's data: %w", err)
		}
		if err := d.DB.Scrub(ctx); err != nil {
			return fmt.Errorf("erasing a user's data: %w", err)
		}
		return d.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			// The id is derived from the deletion's, so that a repeated delivery does not publish a second report.
			id := e.ID + "." + s.Owner
			data, err := subjects.Encode(report.New(id, "", d.Now(), subjects.Erasure{
				ErasureID: e.Data.ErasureID, Actor: s.Owner, Round: e.Data.Round, Items: items,
			}))
			if err != nil {
				return fmt.Errorf("encoding the report of an erasure: %w", err)
			}
			return d.Outbox.Add(ctx, tx, outbox.Message{ID: "event." + id, Subject: report.Subject, Key: e.Data.ErasureID, Data: data})
		})
	})
}
