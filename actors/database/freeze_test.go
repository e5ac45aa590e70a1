package database_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

var countersMigration = fstest.MapFS{"0001_counters.sql": {Data: []byte("CREATE TABLE counters (id INTEGER PRIMARY KEY)")}}

// TestFreezeSeesOneMoment: while a writer adds each number to one database and then to the next, the copies of both are of one moment, writers wait
// until Release, and none of them fails.
func TestFreezeSeesOneMoment(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		configs := []database.Config{kind.Config(t, "first"), kind.Config(t, "second")}
		var dbs []*database.DB
		for _, cfg := range configs {
			dbs = append(dbs, actortest.OpenDatabase(t, cfg, countersMigration))
		}
		var written atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		defer writers.Wait()
		defer stop()
		writers.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				for _, db := range dbs {
					err := db.RunInTx(context.WithoutCancel(ctx), func(ctx context.Context, tx bun.Tx) error {
						_, err := tx.ExecContext(ctx, "INSERT INTO counters VALUES (?)", n)
						return err
					})
					if err != nil {
						t.Errorf("a writer failed: %v", err)
						return
					}
				}
				written.Store(n)
			}
		})
		actortest.Eventually(t, "writers to begin", func() bool { return written.Load() > 20 })
		frozen, err := database.Freeze(t.Context(), configs, "weft_test")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = frozen.Close() }()
		before := written.Load()
		select {
		case <-time.After(30 * time.Millisecond):
		case <-ctx.Done():
		}
		if after := written.Load(); after > before+1 {
			t.Errorf("%d numbers were written while writers were held off", after-before)
		}
		frozen.Release()
		actortest.Eventually(t, "writers to continue", func() bool { return written.Load() > before+20 })
		versions, err := frozen.Versions(t.Context(), configs[0])
		if known, _ := database.KnownVersions(countersMigration); err != nil || versions["actor"] != 1 || versions.Check(known) != nil {
			t.Errorf("versions %v, %v", versions, err)
		}
		if kind.Name == database.DialectPostgres {
			if p := frozen.PostgreSQL; p == nil || p.Snapshot == "" || p.LSN == "" || frozen.Copied("first") {
				t.Errorf("the moment is %+v", p)
			}
			return
		}
		var counts []int64
		for _, cfg := range configs {
			path := filepath.Join(t.TempDir(), cfg.Actor+".db")
			if err := frozen.Copy(t.Context(), cfg.Actor, path, func(int64, int64) {}); err != nil {
				t.Fatal(err)
			}
			if versions, err := database.CheckFile(t.Context(), path); err != nil || versions["actor"] != 1 {
				t.Errorf("the copy has %v, %v", versions, err)
			}
			counts = append(counts, countCopied(t, cfg.Actor, filepath.Dir(path)))
		}
		if counts[0] < before || counts[1] < before || counts[0] > before+1 || counts[1] > counts[0] {
			t.Errorf("the copies have %v numbers, %d were acknowledged before", counts, before)
		}
	})
}

func countCopied(t *testing.T, actor, dir string) (n int64) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{Actor: actor, DataDir: dir}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.NewRaw("SELECT count(*) FROM counters").Scan(t.Context(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCheckFileFindsDamage changes a byte in the middle of a database.
func TestCheckFileFindsDamage(t *testing.T) {
	t.Parallel()
	cfg := database.Config{Actor: "damaged", DataDir: t.TempDir()}
	db, err := database.Open(t.Context(), cfg, zap.NewNop())
	if err == nil {
		err = database.Migrate(t.Context(), db, countersMigration)
	}
	if err == nil {
		err = db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.ExecContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO counters SELECT i FROM n")
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Scrub(t.Context()), db.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.DataDir, "damaged.db")
	if _, err := database.CheckFile(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(content) / 2; i < len(content)/2+4096; i++ {
		content[i] = 0xff
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := database.CheckFile(t.Context(), path); err == nil {
		t.Error("the damage is not found")
	}
	if _, err := database.Freeze(t.Context(), []database.Config{{Actor: "absent", DataDir: t.TempDir()}}, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a database that does not exist: %v", err)
	}
}

// TestFreezeAmongTransactionsOnManyTables: transactions that write to several tables in any order, and so wait for one another's tables when some of
// them are locked, do not keep Freeze from its moment, and none of them fails.
func TestFreezeAmongTransactionsOnManyTables(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		cfg := kind.Config(t, "first")
		const tables = 6
		schema := ""
		for n := range tables {
			schema += fmt.Sprintf("CREATE TABLE many_%d (id TEXT PRIMARY KEY);\n", n)
		}
		db := actortest.OpenDatabase(t, cfg, fstest.MapFS{"0001_many.sql": {Data: []byte(schema)}})
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		defer writers.Wait()
		defer stop()
		var written atomic.Int64
		for range 8 {
			writers.Go(func() {
				for ctx.Err() == nil {
					err := db.RunInTx(context.WithoutCancel(ctx), func(ctx context.Context, tx bun.Tx) error {
						for range 4 {
							table := fmt.Sprintf("many_%d", rand.IntN(tables))
							if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" VALUES (?)", uuid.NewString()); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Errorf("a writer failed: %v", err)
						return
					}
					written.Add(1)
				}
			})
		}
		actortest.Eventually(t, "writers to begin", func() bool { return written.Load() > 20 })
		began := time.Now()
		for range 3 {
			frozen, err := database.Freeze(t.Context(), []database.Config{cfg}, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := frozen.Close(); err != nil {
				t.Error(err)
			}
		}
		t.Logf("three times in %s", time.Since(began).Round(time.Millisecond))
	})
}
