package quota

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// Counter reads what a user has, of the database or of an open transaction of it.
type Counter func(ctx context.Context, db bun.IDB, userID string) (int64, error)

// Elsewhere is a Counter of what is not in the database.
func Elsewhere(count func(ctx context.Context, userID string) (int64, error)) Counter {
	return func(ctx context.Context, _ bun.IDB, userID string) (int64, error) { return count(ctx, userID) }
}

// lock takes a lock with a name until the transaction ends. SQLite needs none: its write transactions run one after another.
func (q *Quotas) lock(ctx context.Context, tx bun.Tx, name string) error {
	if q.db.Dialect() != database.DialectPostgres {
		return nil
	}
	if _, err := tx.NewRaw("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", "weft quota "+name).Exec(ctx); err != nil {
		return fmt.Errorf("locking a quota: %w", err)
	}
	return nil
}
