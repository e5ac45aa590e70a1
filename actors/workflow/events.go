package workflow

import (
	"context"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// webhookDelivered routes an event that a provider delivered to the workflows of the hook's owner. The event's source and id
// identify it, so that a redelivery starts nothing again.
func (a *Actor) webhookDelivered(ctx context.Context, e subjects.Envelope[subjects.WebhookDelivery]) error {
	data, err := subjects.Encode(e.Data)
	if err != nil {
		return fmt.Errorf("encoding an event's data: %w", err)
	}
	value, err := language.DecodeStrict(data)
	if err != nil {
		return subjects.Errorf(subjects.CodeInvalid, "the event's data cannot be read: %v", err)
	}
	event := cloudEvent{
		"specversion": e.SpecVersion, "id": e.ID, "source": e.Source, "type": e.Type, "time": e.Time.UTC().Format(time.RFC3339Nano),
		"datacontenttype": "application/json", "data": value,
	}
	if len(data) > a.config.MaxInput { // no execution can take it: the starts that it triggers become failures of the user
		return a.triggers.startOnly(ctx, e.UserID, event, eventWebhook)
	}
	_, _, err = a.triggers.route(ctx, e.UserID, event, engine.Origin{}, eventWebhook)
	return err
}

// eraseUser terminates a user's executions and deletes everything that the actor holds of the user: rows, histories, the
// entries of the logs and the messages of the feed. It returns the number of the user's rows.
func (a *Actor) eraseUser(ctx context.Context, account subjects.AccountDeletion) (items int64, err error) {
	if err := a.engine.TerminateUser(ctx, account.UserID); err != nil {
		return 0, err
	}
	if err := a.engine.FlushAll(ctx); err != nil {
		return 0, err
	}
	watched, err := engine.WatchedExecutions(ctx, a.DB.DB, account.UserID)
	if err != nil {
		return 0, database.Classify(err)
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, func() { a.secrets.forget(account.UserID) })
		items, err = deleteUserRows(ctx, tx, account.UserID)
		return err
	})
	if err != nil {
		return 0, err
	}
	// After the rows, because the feed is published from them.
	if err := a.engine.PurgeFeeds(ctx, watched); err != nil {
		return 0, err
	}
	return items, a.engine.TruncateLogs(ctx)
}
