package outbox

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// insertedRow is a row that was inserted, and the last row of its key that was there before; 0 if there was none.
type insertedRow struct {
	Seq   int64
	ID    string
	Prior int64
}

// insert inserts the messages of a transaction, and hands them over to the relay once it is committed. It is the write of Outbox.rows.
func (o *Outbox) insert(ctx context.Context, tx bun.Tx, rows []row) error {
	insertion := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO NOTHING")
	if !o.handover.wanted() {
		if _, err := insertion.Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("adding to outbox: %w", err)
		}
		o.cfg.DB.AfterCommit(ctx, func() {
			o.handover.scanNext()
			o.wake.Notify()
		})
		return nil
	}
	prior := map[string]int64{}
	returning := `"seq", "id", coalesce((SELECT o.seq FROM weft_outbox AS o WHERE o.order_key = "row".order_key ORDER BY o.seq DESC LIMIT 1), 0) AS "prior"`
	if o.cfg.DB.Dialect() == database.DialectSQLite { // whether its RETURNING sees the rows that it inserts is undefined
		returning = "seq, id, 0 AS prior"
		var err error
		if prior, err = lastOfKeys(ctx, tx, rows); err != nil {
			return err
		}
	}
	var inserted []insertedRow
	if err := insertion.Returning(returning).Scan(ctx, &inserted); err != nil {
		return fmt.Errorf("adding to outbox: %w", err)
	}
	byID := make(map[string]insertedRow, len(inserted))
	for _, r := range inserted {
		byID[r.ID] = r
	}
	var added []handedRow
	for _, r := range rows {
		if found, ok := byID[r.ID]; ok {
			delete(byID, r.ID) // a transaction may have added an ID twice
			r.Seq = found.Seq
			added = append(added, handedRow{r, max(found.Prior, prior[r.OrderKey])})
		}
	}
	publish := o.handover.prepare(added)
	o.cfg.DB.AfterCommit(ctx, func() {
		publish()
		o.wake.Notify()
	})
	return nil
}

// lastOfKeys returns the last row of each key of rows.
func lastOfKeys(ctx context.Context, tx bun.Tx, rows []row) (map[string]int64, error) {
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.OrderKey
	}
	var found []keyedRow
	err := tx.NewSelect().TableExpr("weft_outbox").ColumnExpr("max(seq) AS seq").Column("order_key").Where("order_key IN (?)", bun.List(keys)).
		Group("order_key").Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("adding to outbox: %w", err)
	}
	last := make(map[string]int64, len(found))
	for _, r := range found {
		last[r.OrderKey] = r.Seq
	}
	return last, nil
}
