package quota

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

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
