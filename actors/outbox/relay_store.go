package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// page publishes the first rows whose keys are not blocked, and deletes the acknowledged ones. It returns how many rows it has read.
func (r *relay) page(ctx context.Context) (read int, err error) {
	o := r.outbox
	if o.cfg.DB.Dialect() == database.DialectSQLite { // there is no other process, and publishing must not block the writer
		rows, err := r.read(ctx, o.cfg.DB.DB)
		if err != nil {
			return 0, err
		}
		acked, failure := r.publish(ctx, rows)
		return len(rows), errors.Join(o.deleteAcked(ctx, acked), failure)
	}
	s, err := o.cfg.DB.OpenTx(ctx, context.WithoutCancel(ctx), func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.Tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+relayLockWait+"'"); err != nil {
			return err
		}
		_, err := tx.Tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", o.cfg.DB.AdvisoryKey("outbox"))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("locking the outbox: %w", err)
	}
	defer s.Rollback()
	rows, err := r.read(ctx, s.Tx())
	if err != nil {
		return 0, err
	}
	acked, failure := r.publish(ctx, rows)
	cleanup, cancel := database.CleanupContext(ctx, relayCleanup)
	defer cancel()
	if err := deleteRows(cleanup, s.Tx(), acked); err != nil {
		return 0, errors.Join(err, failure)
	}
	if err := s.Commit(); err != nil {
		return 0, errors.Join(err, failure)
	}
	o.handover.deleted(acked)
	return len(rows), failure
}

// deletePublished deletes what was published from memory.
func (r *relay) deletePublished(ctx context.Context) error {
	if err := r.outbox.deleteAcked(ctx, r.published); err != nil {
		return err
	}
	r.published = nil
	return nil
}

// deleteAcked deletes acknowledged rows in a transaction of its own, also after ctx has ended.
func (o *Outbox) deleteAcked(ctx context.Context, acked []int64) error {
	if len(acked) == 0 {
		return nil
	}
	cleanup, cancel := database.CleanupContext(ctx, relayCleanup)
	defer cancel()
	err := o.cfg.DB.RunDetached(cleanup, func(ctx context.Context, tx bun.Tx) error { return deleteRows(ctx, tx, acked) })
	if err == nil {
		o.handover.deleted(acked)
	}
	return err
}

func deleteRows(ctx context.Context, tx bun.Tx, acked []int64) error {
	if len(acked) == 0 {
		return nil
	}
	if _, err := tx.NewDelete().TableExpr("weft_outbox").Where("seq IN (?)", bun.List(acked)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting published messages: %w", err)
	}
	return nil
}

// keyedRow is a row's place in the order of its key.
type keyedRow struct {
	Seq      int64
	OrderKey string
}

// next returns the numbers of the first rows whose keys are not blocked, at most limit. It reads past the rows of blocked keys by
// ever longer queries from the beginning, because rows of two queries could have been overtaken in between.
func (r *relay) next(ctx context.Context, db bun.IDB, limit int) ([]int64, error) {
	for count := limit + len(r.blocked.keys); ; count *= 2 {
		var rows []keyedRow
		err := db.NewSelect().TableExpr("weft_outbox").Column("seq", "order_key").Order("seq").Limit(int64(count)).Scan(ctx, &rows)
		if err != nil {
			return nil, fmt.Errorf("reading outbox: %w", err)
		}
		var numbers []int64
		for _, row := range rows {
			if len(numbers) < limit && !r.blocked.keys[row.OrderKey] {
				numbers = append(numbers, row.Seq)
			}
		}
		if len(numbers) == limit || len(rows) < count {
			return numbers, nil
		}
	}
}

// read returns the first rows whose keys are not blocked.
func (r *relay) read(ctx context.Context, db bun.IDB) ([]row, error) {
	var rows []row
	query := db.NewSelect().Model(&rows).Order("seq").Limit(int64(r.outbox.cfg.Window))
	if len(r.blocked.keys) > 0 {
		numbers, err := r.next(ctx, db, r.outbox.cfg.Window)
		if err != nil || len(numbers) == 0 {
			return nil, err
		}
		query = query.Where("seq IN (?)", bun.List(numbers))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading outbox: %w", err)
	}
	return rows, nil
}
