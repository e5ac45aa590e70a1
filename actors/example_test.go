package actors_test

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// mailbox is an actor: its dependencies, and its handlers as methods.
type mailbox struct{ actors.Deps }

var mailboxMigrations = fstest.MapFS{"0001_messages.sql": {Data: []byte(
	"CREATE TABLE messages (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, body TEXT NOT NULL)")}}

// newMailbox declares what the runtime runs for the actor.
func newMailbox(d actors.Deps) (actors.Service, error) {
	a := &mailbox{d}
	return actors.Service{
		Name:     "notification",
		Bindings: []actors.Binding{actors.Bind(subjects.SendNotification, a.send)},
		Workers:  []actors.Worker{actors.OnErasure(d, subjects.NotificationErasure, subjects.NotificationErased, a.erase)},
	}, nil
}

// send handles the endpoint: the request is valid, and the caller is verified and may call it.
func (a *mailbox) send(ctx context.Context, r subjects.SendNotificationRequest) (subjects.NotificationRef, error) {
	id, user := a.NewID(), actors.CallerFrom(ctx).UserID
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		_, err := tx.NewRaw("INSERT INTO messages VALUES (?, ?, ?)", id, user, r.Body).Exec(ctx)
		return err
	})
	return subjects.NotificationRef{NotificationID: id, Status: "accepted"}, err
}

// erase deletes the messages of a deleted account.
func (a *mailbox) erase(ctx context.Context, deletion subjects.AccountDeletion) (items int64, err error) {
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		deleted, err := tx.NewRaw("DELETE FROM messages WHERE user_id = ?", deletion.UserID).Exec(ctx)
		if err != nil {
			return err
		}
		items, err = deleted.RowsAffected()
		return err
	})
	return items, err
}

// An actor is a function of its dependencies that returns a Service. Its endpoints, jobs and events are declared in the package
// subjects, from which its NATS permissions and HTTP routes are derived; this one serves an endpoint that notification has declared.
// The runtime verifies callers, and replays the answer to a repeated idempotency key.
func Example() {
	actortest.Example(func(t testing.TB) {
		m := actortest.Start(t, actortest.Quiet())
		m.Host(t, "notification", database.Config{Actor: "notification", DataDir: t.TempDir()}, mailboxMigrations, newMailbox)

		user := actortest.User()
		for _, token := range []string{m.Token(t, user), m.Token(t, user), "expired"} {
			request := subjects.SendNotificationRequest{Category: "system", Body: "hello"}
			ref, replayed, err := actortest.CallKeyed(t.Context(), m.Conn(t, mesh.UserGateway), subjects.SendNotification, request, token, "key 1")
			fmt.Printf("status %q, replayed: %t, error %q\n", ref.Status, replayed, subjects.CodeOf(err))
		}
		fmt.Println("erased:", m.Forget(t, "notification", user).Items)
	})
	// Output:
	// status "accepted", replayed: false, error ""
	// status "accepted", replayed: true, error ""
	// status "", replayed: false, error "unauthenticated"
	// erased: 1
}
