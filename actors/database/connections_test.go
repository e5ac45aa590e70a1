package database_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// shared opens databases of different schemas that share at most open connections.
func shared(t *testing.T, open int, names ...string) []*database.DB {
	t.Helper()
	kind := actortest.Postgres(t)
	if kind.Name == "" {
		t.Skip("no PostgreSQL")
	}
	connections := database.NewConnections()
	cfg := kind.Config(t, names[0])
	databases := make([]*database.DB, 0, len(names))
	for _, name := range names {
		own := cfg
		own.Actor, own.Connections, own.MaxOpen, own.MaxIdle = name, connections, open, min(open, 2)
		databases = append(databases, actortest.OpenDatabase(t, own, actortest.Things))
	}
	return databases
}

// occupy begins n transactions, and returns a function that ends them one by one.
func occupy(t *testing.T, db *database.DB, n int) (end func()) {
	t.Helper()
	release, started, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	for range n {
		go func() {
			err := db.RunInTx(t.Context(), func(context.Context, bun.Tx) error {
				started <- struct{}{}
				<-release
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			ended <- struct{}{}
		}()
		<-started
	}
	return func() { release <- struct{}{}; <-ended }
}

// TestConnectionsAreGivenInOrder: reads and transactions that wait get a connection in the order in which they came.
func TestConnectionsAreGivenInOrder(t *testing.T) {
	t.Parallel()
	db := shared(t, 1, "auth")[0]
	end := occupy(t, db, 1)
	var mu sync.Mutex
	var got []int
	var all sync.WaitGroup
	const waiters = 40
	for n := range waiters {
		all.Go(func() {
			note := func(context.Context, bun.Tx) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, n)
				return nil
			}
			var err error
			if n%2 == 0 {
				err = db.RunInTx(t.Context(), note)
			} else {
				var tx bun.Tx
				if tx, err = db.BeginTx(t.Context(), nil); err == nil {
					_ = note(t.Context(), tx)
					err = tx.Rollback()
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		actortest.Eventually(t, "it waits", func() bool { return db.ConnectionStats().Waiting == n+1 })
	}
	end()
	all.Wait()
	if !slices.IsSorted(got) || len(got) != waiters {
		t.Errorf("served %v", got)
	}
}

// TestWaitsUnderOverload: with ten times as many callers as connections, the slowest waits little longer than the others.
func TestWaitsUnderOverload(t *testing.T) {
	t.Parallel()
	db := shared(t, 4, "auth")[0]
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			for range 25 {
				began := time.Now()
				if _, err := db.ExecContext(t.Context(), "SELECT pg_sleep(0.001)"); err != nil {
					t.Error(err)
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("p50 %v, p99 %v", p50, p99)
	if p99 > 6*p50 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
}

// TestActorsShareConnections: the connections of a process are bounded together, each database sees its own schema on them, and one that others
// cannot take is left for each: transactions of one that fill the rest and then call another do not wait for each other.
func TestActorsShareConnections(t *testing.T) {
	t.Parallel()
	databases := shared(t, 4, "auth", "consent")
	auth, consent := databases[0], databases[1]
	for n := range 20 {
		for i, db := range databases {
			if n%(i+1) > 0 {
				continue
			}
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, fmt.Sprint(n)) })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if a, c := actortest.Count(t, auth, "things"), actortest.Count(t, consent, "things"); a != 20 || c != 10 {
		t.Errorf("%d and %d things, want 20 and 10", a, c)
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			err := auth.RunInTx(t.Context(), func(ctx context.Context, _ bun.Tx) error { return consent.Ping(ctx) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	end := occupy(t, auth, 3)
	if stats := consent.ConnectionStats(); stats.Open > 4 {
		t.Errorf("%d connections are open", stats.Open)
	}
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := auth.Ping(waiting); err == nil {
		t.Error("a database took the part of another")
	}
	if err := consent.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for range 3 {
		end()
	}
}
