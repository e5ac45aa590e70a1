package notification

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

const (
	// lettersKept is how long a letter is kept: what auth writes to somebody under the letter's own id, so that it is in
	// nobody's inbox.
	lettersKept = 7 * 24 * time.Hour
	// lettersEvery is the pause between two looks for old ones.
	lettersEvery = time.Hour
)

// forget deletes a user's notifications, those to their aliases, and what the stream FEED still has of them.
func (a *Actor) forget(ctx context.Context, who subjects.AccountDeletion) (items int64, err error) {
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		items, err = wipeUsers(ctx, tx, append([]string{who.UserID}, who.Aliases...))
		return err
	})
	if err != nil {
		return 0, err
	}
	feed, err := a.Conn.JS.Stream(ctx, subjects.Feed.Name)
	if err == nil {
		err = feed.Purge(ctx, jetstream.WithPurgeSubject(subjects.FeedSubject(who.UserID)))
	}
	if err != nil {
		return 0, fmt.Errorf("purging a user's feed: %w", err)
	}
	return items, nil
}

// sweepLetters drops old letters.
func (a *Actor) sweepLetters(ctx context.Context) error {
	tick := time.NewTicker(lettersEvery)
	defer tick.Stop()
	for {
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return dropLetters(ctx, tx, a.Now().Add(-lettersKept))
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
