package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// The report is published after the handler has returned, once per deletion event, and not at all after an error.
func TestOnErasure(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "consent")
		d := actors.Deps{DB: db, Now: time.Now, Outbox: outbox.New(outbox.Config{DB: db, Log: zap.NewNop()})}
		failure, calls := error(nil), 0
		worker := actors.OnErasure(d, subjects.ConsentErasure, subjects.ConsentErased,
			func(_ context.Context, deletion subjects.AccountDeletion) (int64, error) {
				if calls++; deletion.UserID != "user" || len(deletion.Aliases) != 1 {
					t.Errorf("the handler got %+v", deletion)
				}
				return 3, failure
			})
		ctx := t.Context()
		deliver := func(id, user string) error {
			event, err := json.Marshal(subjects.AccountDeleted.New(id, user, time.Now(),
				subjects.AccountDeletion{ErasureID: "erasure", UserID: user, Round: 2, Aliases: []string{"alias"}}))
			if err != nil {
				t.Fatal(err)
			}
			return worker.Handle(ctx, event)
		}
		wantCode(t, deliver("event", ""), subjects.CodeInvalid)
		failure = errors.New("failure")
		if err := deliver("event", "user"); !errors.Is(err, failure) || calls != 1 {
			t.Errorf("%v after %d calls, want the handler's error", err, calls)
		}
		if n := actortest.Count(t, db, "weft_outbox"); n != 0 {
			t.Errorf("%d reports after a failure", n)
		}
		failure = nil
		if err := deliver("event", "user"); err != nil {
			t.Fatal(err)
		}
		// A repetition waits until what is to be published has left the database, and publishes nothing else.
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		ctx = short
		if err := deliver("event", "user"); !errors.Is(err, database.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a message that is not published: %v", err)
		}
		ctx = t.Context()
		var rows []struct {
			Subject, OrderKey string
			Data              []byte
		}
		if err := db.NewSelect().TableExpr("weft_outbox").Column("subject", "order_key", "data").Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		if len(rows) != 1 || rows[0].Subject != subjects.ConsentErased.Subject || rows[0].OrderKey != "erasure" {
			t.Fatalf("the outbox has %+v, want one report", rows)
		}
		var report subjects.Envelope[subjects.Erasure]
		if err := json.Unmarshal(rows[0].Data, &report); err != nil {
			t.Fatal(err)
		}
		want := subjects.Erasure{ErasureID: "erasure", Actor: "consent", Round: 2, Items: 3}
		if report.Data != want || report.UserID != "" {
			t.Errorf("the report is %+v, want %+v without a user", report, want)
		}
		for _, event := range []string{"event", "another event"} { // of which the first is a repetition
			err := db.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { // as after the publication
				_, err := tx.ExecContext(ctx, "DELETE FROM weft_outbox")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := deliver(event, "user"); err != nil || actortest.Count(t, db, "weft_outbox") != 1 {
				t.Errorf("%s once more: %v, %d reports", event, err, actortest.Count(t, db, "weft_outbox"))
			}
		}
	})
}
