package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/seal"
)

// idem is a store on a database, with a clock that the test sets.
type idem struct {
	*idempotency.Store
	db     *database.DB
	sealer *seal.Sealer
	clock  *actortest.Clock
}

func newIdem(t testing.TB, db *database.DB) idem {
	i := idem{db: db, sealer: actortest.Sealer(t), clock: &actortest.Clock{}}
	i.Store = i.over(db)
	return i
}

// over returns a store with the same clock and keyset on db, as in another copy of the actor.
func (i idem) over(db *database.DB) *idempotency.Store {
	return idempotency.New(idempotency.Config{
		DB: db, Sealer: i.sealer, Log: zap.NewNop(), Now: i.clock.Now, Wait: 150 * time.Millisecond,
	})
}

func keyed(name string) idempotency.Key {
	return idempotency.Key{Endpoint: "weft.v1.test.make", Caller: "user 1", Key: name}
}

// making returns a handler that adds a thing and answers with its name and a secret.
func making(db *database.DB, thing string, ran *atomic.Int64) func(context.Context) (idempotency.Answer, error) {
	return func(ctx context.Context) (idempotency.Answer, error) {
		ran.Add(1)
		err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, thing) })
		return idempotency.Answer{Body: []byte(`{"made":"` + thing + `","token":"s3cret"}`)}, err
	}
}

func TestDoRunsOncePerKey(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		i := newIdem(t, kind.Open(t, "auth", actortest.Things))
		var ran atomic.Int64
		hash, other := []byte("hash"), []byte("other")
		first, replayed, err := i.Do(t.Context(), keyed("k"), hash, []string{"token"}, making(i.db, "a", &ran))
		if err != nil || replayed || !bytes.Contains(first.Body, []byte("s3cret")) {
			t.Fatalf("first: %s, %v, %v", first.Body, replayed, err)
		}
		again, replayed, err := i.Do(t.Context(), keyed("k"), hash, []string{"token"}, making(i.db, "b", &ran))
		if err != nil || !replayed || string(again.Body) != `{"made":"a"}` {
			t.Errorf("again: %s, %v, %v", again.Body, replayed, err)
		}
		if _, _, err := i.Do(t.Context(), keyed("k"), other, nil, making(i.db, "b", &ran)); !errors.Is(err, idempotency.ErrMismatch) {
			t.Errorf("another body: %v", err)
		}
		for n, key := range []idempotency.Key{
			{Endpoint: "weft.v1.test.make", Caller: "user 2", Key: "k"}, {Endpoint: "weft.v1.test.mak", Caller: "euser 1", Key: "k"},
		} {
			if _, replayed, err := i.Do(t.Context(), key, other, nil, making(i.db, fmt.Sprint(n), &ran)); err != nil || replayed {
				t.Errorf("%v: %v, %v", key, replayed, err)
			}
		}
		var rows [][]byte
		if err := i.db.NewSelect().TableExpr("weft_idempotency").Column("sealed").Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, sealed := range rows {
			if bytes.Contains(sealed, []byte("made")) || bytes.Contains(sealed, hash) {
				t.Error("the record is not sealed")
			}
		}
		i.clock.Advance(25 * time.Hour)
		if _, replayed, err := i.Do(t.Context(), keyed("k"), other, nil, making(i.db, "next day", &ran)); err != nil || replayed {
			t.Errorf("a day later: %v, %v", replayed, err)
		}
		if n, err := i.Sweep(t.Context()); err != nil || n != 2 || actortest.Count(t, i.db, "weft_idempotency") != 1 {
			t.Errorf("%d records were deleted, %v", n, err)
		}
		if ran.Load() != 4 || actortest.Count(t, i.db, "things") != 4 {
			t.Errorf("ran %d times", ran.Load())
		}
	})
}

func TestDoConcurrently(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		cfg := kind.Config(t, "auth")
		db := actortest.OpenDatabase(t, cfg, actortest.Things)
		i := newIdem(t, db)
		copies, dbs := []*idempotency.Store{i.Store}, []*database.DB{db}
		if kind.Name == database.DialectPostgres {
			dbs = append(dbs, actortest.OpenDatabase(t, cfg, actortest.Things))
			copies = append(copies, i.over(dbs[1]))
		}
		var ran, fresh atomic.Int64
		var group sync.WaitGroup
		for n := range 64 {
			group.Go(func() {
				c := n % len(copies)
				for {
					answer, replayed, err := copies[c].Do(t.Context(), keyed("k"), nil, nil, making(dbs[c], "a", &ran))
					if errors.Is(err, idempotency.ErrInProgress) {
						continue
					}
					if err != nil || !bytes.Contains(answer.Body, []byte(`"a"`)) {
						t.Errorf("%s, %v", answer.Body, err)
					}
					if !replayed {
						fresh.Add(1)
					}
					return
				}
			})
		}
		group.Wait()
		if ran.Load() != 1 || fresh.Load() != 1 || actortest.Count(t, db, "things") != 1 {
			t.Errorf("ran %d times, %d fresh answers", ran.Load(), fresh.Load())
		}
		// While a call is running, a second one with its key fails, in the same copy and in another.
		entered, leave := make(chan struct{}), make(chan struct{})
		group.Go(func() {
			_, _, err := i.Do(t.Context(), keyed("slow"), nil, nil, func(ctx context.Context) (idempotency.Answer, error) {
				close(entered)
				<-leave
				return making(db, "slow", &ran)(ctx)
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-entered
		for c := range copies {
			if _, _, err := copies[c].Do(t.Context(), keyed("slow"), nil, nil, making(dbs[c], "slow", &ran)); !errors.Is(err, idempotency.ErrInProgress) {
				t.Errorf("copy %d: %v, want in progress", c, err)
			}
		}
		close(leave)
		group.Wait()
	})
}

// The handler's changes and its answer are committed together: others see the changes only after the answer is recorded.
func TestDoCommitsChangeAndAnswerTogether(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		i, no := newIdem(t, kind.Open(t, "auth", actortest.Things)), errors.New("no")
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err := i.Do(ctx, keyed("k"), nil, nil, func(ctx context.Context) (idempotency.Answer, error) {
			add := func(id string, err error) error {
				return i.db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error { return errors.Join(actortest.AddThing(ctx, tx, id), err) })
			}
			if err := errors.Join(add("a", nil), add("b", nil)); err != nil {
				return idempotency.Answer{}, err
			}
			if err := add("undone", no); !errors.Is(err, no) {
				t.Errorf("a failed transaction: %v", err)
			}
			if err := add("a", nil); !database.IsUnique(err) {
				t.Errorf("adding again: %v", err)
			}
			if n, err := i.db.NewSelect().TableExpr("things").Count(ctx); err != nil || n != 2 {
				t.Errorf("the handler sees %d things (%v), want its own 2", n, err)
			}
			if n := actortest.Count(t, i.db, "things"); n != 0 {
				t.Errorf("others see %d things before the answer", n)
			}
			cancel() // the caller gives up: changes and answer are kept nevertheless
			return idempotency.Answer{Body: []byte("1")}, nil
		})
		if err != nil || actortest.Count(t, i.db, "things") != 2 {
			t.Fatalf("%v, %d things", err, actortest.Count(t, i.db, "things"))
		}
		var ran atomic.Int64
		if answer, replayed, err := i.Do(t.Context(), keyed("k"), nil, nil, making(i.db, "x", &ran)); err != nil || !replayed || string(answer.Body) != "1" {
			t.Errorf("replay: %s, %v, %v", answer.Body, replayed, err)
		}
	})
}

func TestDoFailures(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		i, no := newIdem(t, kind.Open(t, "auth", actortest.Things)), errors.New("no")
		var ran atomic.Int64
		failing := func(thing string, kept idempotency.Answer) func(context.Context) (idempotency.Answer, error) {
			return func(ctx context.Context) (idempotency.Answer, error) {
				_, err := making(i.db, thing, &ran)(ctx)
				return kept, errors.Join(err, no)
			}
		}
		if _, _, err := i.Do(t.Context(), keyed("transient"), nil, nil, failing("a", idempotency.Answer{})); !errors.Is(err, no) {
			t.Error(err)
		}
		if n := actortest.Count(t, i.db, "things") + actortest.Count(t, i.db, "weft_idempotency"); n != 0 {
			t.Errorf("%d rows after a transient failure", n)
		}
		if _, replayed, err := i.Do(t.Context(), keyed("transient"), nil, nil, making(i.db, "a", &ran)); err != nil || replayed {
			t.Errorf("retry of a transient failure: %v, %v", replayed, err)
		}
		refusal := idempotency.Answer{Header: map[string][]string{"Code": {"conflict"}}, Body: []byte(`{"code":"conflict"}`)}
		if _, _, err := i.Do(t.Context(), keyed("final"), nil, nil, failing("b", refusal)); !errors.Is(err, no) {
			t.Error(err)
		}
		answer, replayed, err := i.Do(t.Context(), keyed("final"), nil, nil, making(i.db, "never", &ran))
		if err != nil || !replayed || answer.Header["Code"][0] != "conflict" || actortest.Count(t, i.db, "things") != 2 {
			t.Errorf("retry of a final failure: %v, %v, %v", answer, replayed, err)
		}
		func() {
			defer func() { _ = recover() }()
			_, _, _ = i.Do(t.Context(), keyed("panic"), nil, nil, func(ctx context.Context) (idempotency.Answer, error) {
				_, _ = making(i.db, "panic", &ran)(ctx)
				panic("in a handler")
			})
		}()
		if _, replayed, err := i.Do(t.Context(), keyed("panic"), nil, nil, making(i.db, "panic", &ran)); err != nil || replayed {
			t.Errorf("retry after a panic: %v, %v", replayed, err)
		}
	})
}

// A step is committed at once and not run again by a retry of its call, which runs the rest of the handler.
var errTransient = errors.New("transient")

// A claim that meets the release of another copy's reservation is made again.
func TestClaimMeetsARelease(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	db := kind.Open(t, "auth", actortest.Things)
	first := newIdem(t, db)
	stores := []*idempotency.Store{first.Store, first.over(db), first.over(db), first.over(db)}
	var group sync.WaitGroup
	for n := range 4 * len(stores) {
		group.Go(func() {
			for range 100 {
				_, _, err := stores[n%len(stores)].Do(t.Context(), keyed("k"), []byte("hash"), nil,
					func(context.Context) (idempotency.Answer, error) { return idempotency.Answer{}, errTransient })
				if !errors.Is(err, errTransient) && !errors.Is(err, idempotency.ErrInProgress) {
					t.Errorf("Do: %v", err)
				}
			}
		})
	}
	group.Wait()
}

func TestStepRunsOnce(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		i, no := newIdem(t, kind.Open(t, "auth", actortest.Things)), errors.New("no")
		runs := 0
		handler := func(fail error) func(context.Context) (idempotency.Answer, error) {
			return func(ctx context.Context) (idempotency.Answer, error) {
				id, err := idempotency.Step(ctx, i.db, "start", func(ctx context.Context, tx bun.Tx) (string, error) {
					runs++
					return "execution 1", actortest.AddThing(ctx, tx, "execution 1")
				})
				if err != nil || fail != nil {
					return idempotency.Answer{}, errors.Join(err, fail)
				}
				if n := actortest.Count(t, i.db, "things"); n != 1 {
					t.Errorf("others see %d things after the step", n)
				}
				err = i.db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, "end of "+id) })
				if err != nil {
					return idempotency.Answer{}, err
				}
				_, err = idempotency.Step(ctx, i.db, "late", func(context.Context, bun.Tx) (int, error) { t.Error("ran"); return 0, nil })
				if err == nil {
					t.Error("a step inside an open transaction was accepted")
				}
				return idempotency.Answer{Body: []byte(id)}, nil
			}
		}
		if _, _, err := i.Do(t.Context(), keyed("k"), nil, nil, handler(no)); !errors.Is(err, no) {
			t.Fatal(err)
		}
		if answer, _, err := i.Do(t.Context(), keyed("k"), nil, nil, handler(nil)); err != nil || string(answer.Body) != "execution 1" {
			t.Errorf("retry: %s, %v", answer.Body, err)
		}
		if runs != 1 || actortest.Count(t, i.db, "things") != 2 {
			t.Errorf("the step ran %d times", runs)
		}
		_, err := idempotency.Step(t.Context(), i.db, "plain", func(ctx context.Context, tx bun.Tx) (int, error) { return 0, actortest.AddThing(ctx, tx, "plain") })
		if err != nil || actortest.Count(t, i.db, "things") != 3 {
			t.Errorf("a step without a key: %v", err)
		}
	})
}

// A call that outlives its lease and is taken over is rolled back.
func TestLateCallIsRolledBack(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := kind.Config(t, "auth")
	db, db2 := actortest.OpenDatabase(t, cfg, actortest.Things), actortest.OpenDatabase(t, cfg, actortest.Things)
	i := newIdem(t, db)
	var ran atomic.Int64
	_, _, err := i.Do(t.Context(), keyed("k"), nil, nil, func(ctx context.Context) (idempotency.Answer, error) {
		answer, err := making(db, "slow", &ran)(ctx)
		i.clock.Advance(time.Minute)
		if _, replayed, err := i.over(db2).Do(t.Context(), keyed("k"), nil, nil, making(db2, "quick", &ran)); err != nil || replayed {
			t.Errorf("the call that takes over: %v, %v", replayed, err)
		}
		return answer, err
	})
	if !errors.Is(err, idempotency.ErrInProgress) {
		t.Errorf("the late call: %v", err)
	}
	var ids []string
	if err := db.NewSelect().TableExpr("things").Column("id").Scan(t.Context(), &ids); err != nil || len(ids) != 1 || ids[0] != "quick" {
		t.Errorf("%v (%v), want only the quick one", ids, err)
	}
}

// If the connection is lost between the change and the answer, the change is rolled back and a retry makes it.
func TestDoAfterALostConnection(t *testing.T) {
	t.Parallel()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		return
	}
	cfg := kind.Config(t, "auth")
	cfg.URL += "&application_name=" + cfg.URL[len(cfg.URL)-13:len(cfg.URL)-1]
	i := newIdem(t, actortest.OpenDatabase(t, cfg, actortest.Things))
	var ran atomic.Int64
	_, _, err := i.Do(t.Context(), keyed("k"), nil, nil, func(ctx context.Context) (idempotency.Answer, error) {
		answer, err := making(i.db, "a", &ran)(ctx)
		actortest.Terminate(t, i.db)
		return answer, err
	})
	if !errors.Is(err, database.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if _, replayed, err := i.Do(t.Context(), keyed("k"), nil, nil, making(i.db, "a", &ran)); err != nil || replayed || actortest.Count(t, i.db, "things") != 1 {
		t.Errorf("retry: %v, %v, %d things", replayed, err, actortest.Count(t, i.db, "things"))
	}
}
