package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/idempotency"
)

// times returns the lease and the expiry of the only record.
func times(t *testing.T, i idem) (lease, expiry time.Time) {
	t.Helper()
	var row struct{ LeaseUntil, ExpiresAt int64 }
	err := i.db.NewSelect().TableExpr("weft_idempotency").Column("lease_until", "expires_at").Scan(t.Context(), &row)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMicro(row.LeaseUntil), time.UnixMicro(row.ExpiresAt)
}

// A reservation's lease ends 30 seconds after a call without a deadline has started, and 5 seconds after a call's deadline. Its record
// expires 24 hours after the answer.
func TestLeaseAndExpiry(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		for name, c := range map[string]struct {
			timeout time.Duration
			lease   time.Duration
		}{
			"without a deadline": {0, 30 * time.Second},
			"with a deadline":    {time.Minute, 65 * time.Second},
		} {
			i := newIdem(t, kind.Open(t, "auth", actortest.Things))
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if c.timeout > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.timeout)
			}
			near := func(what string, got, want time.Time) {
				t.Helper()
				if got.Before(want.Add(-5*time.Second)) || got.After(want.Add(5*time.Second)) {
					t.Errorf("%s: %s is %s, want about %s", name, what, got, want)
				}
			}
			start := i.clock.Now()
			_, _, err := i.Do(ctx, keyed("k"), nil, nil, func(context.Context) (idempotency.Answer, error) {
				lease, expiry := times(t, i)
				near("the lease", lease, start.Add(c.lease))
				near("the expiry of the reservation", expiry, start.Add(24*time.Hour))
				i.clock.Advance(time.Hour)
				return idempotency.Answer{Body: []byte("{}")}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			_, expiry := times(t, i)
			near("the expiry of the answer", expiry, start.Add(25*time.Hour))
			cancel()
		}
	})
}

// An expired record is replaced, whatever the request: its answer is no longer replayed.
func TestExpiredRecordIsReplaced(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		i := newIdem(t, kind.Open(t, "auth", actortest.Things))
		var ran atomic.Int64
		if _, _, err := i.Do(t.Context(), keyed("k"), []byte("1"), nil, making(i.db, "a", &ran)); err != nil {
			t.Fatal(err)
		}
		i.clock.Advance(24*time.Hour - time.Minute)
		if _, replayed, err := i.Do(t.Context(), keyed("k"), []byte("1"), nil, making(i.db, "b", &ran)); err != nil || !replayed {
			t.Errorf("before the expiry: %t, %v", replayed, err)
		}
		i.clock.Advance(2 * time.Minute)
		if _, replayed, err := i.Do(t.Context(), keyed("k"), []byte("2"), nil, making(i.db, "c", &ran)); err != nil || replayed {
			t.Errorf("after the expiry: %t, %v", replayed, err)
		}
		if ran.Load() != 2 {
			t.Errorf("the handler ran %d times, want 2", ran.Load())
		}
	})
}

// Sweep deletes all expired records, in several transactions, and no others. Run does so at once.
func TestSweep(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		i := newIdem(t, kind.Open(t, "auth", actortest.Things))
		now := i.clock.Now()
		type reservation struct {
			bun.BaseModel `bun:"table:weft_idempotency"`

			ID, Owner             string
			LeaseUntil, ExpiresAt int64
			Done                  bool
			Caller                string
			Bytes                 int64
			Sealed                []byte
		}
		add := func(prefix string, rows int, expiry time.Time) {
			t.Helper()
			list := make([]reservation, rows)
			for n := range list {
				list[n] = reservation{ID: prefix + time.Duration(n).String(), Owner: "o", ExpiresAt: expiry.UnixMicro(), Sealed: []byte{}}
			}
			err := i.db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.NewInsert().Model(&list).Exec(ctx)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		add("expired", 1200, now.Add(-time.Second))
		add("kept", 3, now.Add(time.Hour))
		if n, err := i.Sweep(t.Context()); err != nil || n != 1200 {
			t.Errorf("%d records were deleted, %v, want 1200", n, err)
		}
		if n := actortest.Count(t, i.db, "weft_idempotency"); n != 3 {
			t.Errorf("%d records are left, want 3", n)
		}
		i.clock.Advance(2 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- i.Run(ctx) }()
		actortest.Eventually(t, "Run has deleted the rest", func() bool { return actortest.Count(t, i.db, "weft_idempotency") == 0 })
		cancel()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestKeyed(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db, other := kind.Open(t, "auth", actortest.Things), kind.Open(t, "consent")
		i := newIdem(t, db)
		if idempotency.Keyed(t.Context(), db) {
			t.Error("a context outside is keyed")
		}
		_, _, err := i.Do(t.Context(), keyed("k"), nil, nil, func(ctx context.Context) (idempotency.Answer, error) {
			if !idempotency.Keyed(ctx, db) || idempotency.Keyed(ctx, other) {
				t.Error("the handler's context is not keyed for its database alone")
			}
			if idempotency.Keyed(db.Detached(ctx), db) {
				t.Error("a detached context is keyed")
			}
			held, h := db.Hold(ctx) // a Held of the handler's own
			defer h.Close()
			if idempotency.Keyed(held, db) {
				t.Error("another Held is taken for the call's")
			}
			return idempotency.Answer{Body: []byte("{}")}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A waiting call ends with its context, and receives the answer if the running call ends in time.
func TestWaitingForTheFirstCall(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		i := newIdem(t, db)
		patient := idempotency.New(idempotency.Config{DB: db, Sealer: i.sealer, Log: zap.NewNop(), Wait: time.Minute})
		running, release := make(chan struct{}), make(chan struct{})
		var calls sync.WaitGroup
		calls.Go(func() {
			_, _, err := patient.Do(t.Context(), keyed("k"), nil, nil, func(context.Context) (idempotency.Answer, error) {
				close(running)
				<-release
				return idempotency.Answer{Body: []byte("1")}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-running
		never := func(context.Context) (idempotency.Answer, error) {
			t.Error("a second call ran")
			return idempotency.Answer{}, nil
		}
		stopped := errors.New("stopped")
		canceled, cancel := context.WithCancelCause(t.Context())
		cancel(stopped)
		if _, _, err := patient.Do(canceled, keyed("k"), nil, nil, never); !errors.Is(err, stopped) {
			t.Errorf("with a canceled context: %v, want its cause", err)
		}
		started := make(chan struct{})
		calls.Go(func() {
			close(started)
			answer, replayed, err := patient.Do(t.Context(), keyed("k"), nil, nil, never)
			if err != nil || !replayed || string(answer.Body) != "1" {
				t.Errorf("the waiting call: %s, %t, %v", answer.Body, replayed, err)
			}
		})
		<-started
		close(release)
		calls.Wait()
	})
}

// A record that cannot be opened, because its keyset was lost, is an error and does not run the handler again.
func TestRecordOfAnotherKeyset(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		var ran atomic.Int64
		if _, _, err := newIdem(t, db).Do(t.Context(), keyed("k"), nil, nil, making(db, "a", &ran)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := newIdem(t, db).Do(t.Context(), keyed("k"), nil, nil, making(db, "b", &ran)); err == nil || ran.Load() != 1 {
			t.Errorf("%v after %d runs, want an error", err, ran.Load())
		}
	})
}
