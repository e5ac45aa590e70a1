package database_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

type counterRow struct {
	bun.BaseModel `bun:"table:counters"`

	ID    string `bun:"id,pk"`
	Value int64  `bun:"value"`
}

// counterTable creates an empty table of counterRows.
func counterTable(t *testing.T, db *database.DB) {
	t.Helper()
	mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE counters (id VARCHAR(8) PRIMARY KEY, value BIGINT NOT NULL)`)
		return err
	})
}

// addCounter returns a transaction function that inserts a counter.
func addCounter(id string) func(context.Context, bun.Tx) error {
	return func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&counterRow{ID: id}).Exec(ctx)
		return err
	}
}

// valueOf returns a read of a counter for a cache.
func valueOf(db *database.DB, id string, reads *atomic.Int64) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		reads.Add(1)
		row := counterRow{ID: id}
		err := db.NewSelect().Model(&row).WherePK().Scan(ctx)
		return row.Value, err
	}
}

// setCounter returns a transaction function that changes a counter.
func setCounter(id string, value int64) func(context.Context, bun.Tx) error {
	return func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model(&counterRow{ID: id, Value: value}).WherePK().Exec(ctx)
		return err
	}
}

// While rows are changed, a read never returns less than what was committed before it began. Afterwards the cache saves reads, on PostgreSQL for
// as long as there are peers.
func TestRowCacheIsNeverStale(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			db := kind.Open(t, "cache")
			peers := &onePeer{db: db}
			peers.live.Store(true)
			db.SetPeers(peers)
			counterTable(t, db)
			mustTx(t, db, addCounter("a"))
			cache := database.NewRowCache[int64](db, "counters", 10)
			var reads, committed atomic.Int64
			read := valueOf(db, "a", &reads)
			get := func() int64 {
				v, err := cache.Get(t.Context(), "a", read)
				if err != nil {
					t.Error(err)
				}
				return v
			}
			var stop atomic.Bool
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					for !stop.Load() {
						if least := committed.Load(); get() < least {
							t.Errorf("a read returned less than the committed %d", least)
							return
						}
					}
				})
			}
			for i := int64(1); i <= 300; i++ {
				mustTx(t, db, setCounter("a", i))
				committed.Store(i)
			}
			stop.Store(true)
			readers.Wait()
			if db.Dialect() == database.DialectPostgres { // the mark of a transaction that had only locked the row stays
				mustTx(t, db, func(ctx context.Context, tx bun.Tx) error {
					return tx.NewSelect().Model(&counterRow{ID: "a"}).WherePK().For("UPDATE").Scan(ctx)
				})
			}
			// On PostgreSQL, the mark of a transaction counts until all that were running with it have ended, those of other tests too.
			actortest.Eventually(t, "a read is answered from memory", func() bool {
				before := reads.Load()
				get()
				return reads.Load() == before
			})
			before := reads.Load()
			for range 100 {
				get()
			}
			if reads.Load() != before {
				t.Errorf("100 reads without a change read the database %d times", reads.Load()-before)
			}
			if peers.live.Store(false); db.Dialect() == database.DialectPostgres {
				if get(); reads.Load() == before {
					t.Error("a process for which changes do not wait answers from memory")
				}
			}
		})
	}
}

// onePeer is a database with a single process.
type onePeer struct {
	db   *database.DB
	live atomic.Bool
	// refuse has Invalidate fail.
	refuse atomic.Bool
}

func (p *onePeer) Live() bool { return p.live.Load() }

func (p *onePeer) Invalidate(_ context.Context, tables []string) error {
	if p.refuse.Load() {
		return errors.New("no answer")
	}
	p.db.InvalidateTables(tables...)
	return nil
}

// What empties a cache: changes of its table, whatever their form, but neither insertions nor changes of another one.
func TestRowCacheFollowsItsTable(t *testing.T) {
	t.Parallel()
	upsert := func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&counterRow{ID: "a", Value: 7}).On("CONFLICT (id) DO UPDATE").Set("value = EXCLUDED.value").Exec(ctx)
		return err
	}
	raw := func(statement string) func(context.Context, bun.Tx) error {
		return func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		}
	}
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			db := kind.Open(t, "cache")
			peers := &onePeer{db: db}
			peers.live.Store(true)
			db.SetPeers(peers)
			counterTable(t, db)
			mustTx(t, db, raw("CREATE TABLE others (id VARCHAR(8) PRIMARY KEY)"))
			mustTx(t, db, addCounter("a"))
			cache, reads := database.NewRowCache[int64](db, "counters", 10), atomic.Int64{}
			read := valueOf(db, "a", &reads)
			emptied := func(change func(context.Context, bun.Tx) error) bool {
				t.Helper()
				actortest.Eventually(t, "a read is answered from memory", func() bool {
					before := reads.Load()
					if _, err := cache.Get(t.Context(), "a", read); err != nil {
						t.Fatal(err)
					}
					return reads.Load() == before
				})
				before := reads.Load()
				if err := db.RunInTx(t.Context(), change); err != nil {
					t.Errorf("%v", err)
				}
				_, _ = cache.Get(t.Context(), "a", read)
				return reads.Load() > before
			}
			for name, test := range map[string]struct {
				change func(context.Context, bun.Tx) error
				want   bool
			}{
				"an update":           {setCounter("a", 1), true},
				"an upsert":           {upsert, true},
				"a raw update":        {raw("UPDATE counters SET value = 3"), true},
				"a raw one with WITH": {raw("WITH x AS (SELECT 1) UPDATE counters SET value = 4"), true},
				"a savepoint":         {func(ctx context.Context, _ bun.Tx) error { return db.RunInTx(ctx, setCounter("a", 5)) }, true},
				"an insertion":        {addCounter("b"), false},
				"another table":       {raw("INSERT INTO others VALUES ('x')"), false},
				"a lock": {func(ctx context.Context, tx bun.Tx) error {
					return tx.NewSelect().Model(&counterRow{ID: "a"}).WherePK().Scan(ctx)
				}, false},
			} {
				if got := emptied(test.change); got != test.want {
					t.Errorf("%s: the cache is emptied: %t, want %t", name, got, test.want)
				}
			}
			if err := db.RunInTx(t.Context(), func(_ context.Context, tx bun.Tx) error { return setCounter("a", 9)(t.Context(), tx) }); err == nil {
				t.Error("a change without its transaction's context was committed")
			}
			if peers.refuse.Store(true); db.Dialect() == database.DialectPostgres {
				err := db.RunInTx(t.Context(), setCounter("a", 10))
				if v, _ := read(t.Context()); !errors.Is(err, database.ErrUnavailable) || v == 10 {
					t.Errorf("with a peer that does not answer: %v, the value is %d", err, v)
				}
			}
			peers.refuse.Store(false)
			deletion := func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.NewDelete().Model(&counterRow{ID: "a"}).WherePK().Exec(ctx)
				return err
			}
			if !emptied(deletion) {
				t.Error("a deletion does not empty the cache")
			}
		})
	}
}

// The cache is not used inside a transaction, keeps no errors, and is emptied when it is full.
func TestRowCacheLimits(t *testing.T) {
	t.Parallel()
	db := actortest.OpenDatabase(t, database.Config{Actor: "cache", DataDir: t.TempDir()})
	cache := database.NewRowCache[string](db, "counters", 2)
	reads := map[string]int{}
	get := func(ctx context.Context, key string) {
		t.Helper()
		got, err := cache.Get(ctx, key, func(context.Context) (string, error) {
			reads[key]++
			return "value of " + key, nil
		})
		if err != nil || got != "value of "+key {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	failure := errors.New("failure")
	_, err := cache.Get(t.Context(), "a", func(context.Context) (string, error) { return "", failure })
	if !errors.Is(err, failure) {
		t.Errorf("%v, want the error of the read", err)
	}
	for range 3 {
		get(t.Context(), "a")
	}
	get(t.Context(), "b")
	if reads["a"] != 1 || reads["b"] != 1 {
		t.Errorf("the reads are %v, want one of each key", reads)
	}
	mustTx(t, db, func(ctx context.Context, _ bun.Tx) error {
		get(ctx, "a")
		return nil
	})
	if reads["a"] != 2 {
		t.Error("the cache was used inside a transaction")
	}
	clear(reads)
	for _, key := range []string{"a", "b", "c", "a"} { // c does not fit beside a and b
		get(t.Context(), key)
	}
	if reads["a"] != 1 || reads["b"] != 0 || reads["c"] != 1 {
		t.Errorf("the reads are %v: a full cache was not emptied", reads)
	}
}

func mustTx(t *testing.T, db *database.DB, fn func(context.Context, bun.Tx) error) {
	t.Helper()
	if err := db.RunInTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}
