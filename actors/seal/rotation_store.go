package seal

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// sealedRow is a sealed value with those of its row that it is bound to: Key's, then those of With.
type sealedRow struct {
	values []string
	sealed []byte
}

// sealedChange puts a value that was sealed again in the place of the one that was read.
type sealedChange struct {
	key      []string
	from, to []byte
}

// stored is a sealed value as it stands in the column.
func (s Column) stored(value []byte) any {
	if s.Base64 {
		return base64.StdEncoding.EncodeToString(value)
	}
	return value
}

// key are the values of the row's primary key.
func (r sealedRow) key(of Column) []string { return r.values[:len(of.Key)] }

func (s Column) columns() (names []bun.Ident) {
	for _, name := range s.Key {
		names = append(names, bun.Ident(name))
	}
	return names
}

// sealedRows reads a column's values in the order of its key, after one.
func sealedRows(ctx context.Context, db *database.DB, column Column, after []string, most int) (found []sealedRow, err error) {
	key := column.columns()
	query := db.NewSelect().TableExpr("?", bun.Ident(column.Table))
	for _, name := range slices.Concat(column.Key, column.With) {
		query.ColumnExpr("?", bun.Ident(name))
	}
	query.ColumnExpr("?", bun.Ident(column.Column)).Where("? > ?", bun.Tuple(key), bun.Tuple(after)).Where("? IS NOT NULL", bun.Ident(column.Column)).
		OrderExpr("?", bun.List(key)).Limit(int64(most))
	rows, err := query.Rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading sealed values: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		row := sealedRow{values: make([]string, len(column.Key)+len(column.With))}
		into := make([]any, 0, len(row.values)+1)
		for i := range row.values {
			into = append(into, &row.values[i])
		}
		err := rows.Scan(append(into, &row.sealed)...)
		if err == nil && column.Base64 {
			row.sealed, err = base64.StdEncoding.DecodeString(string(row.sealed))
		}
		if err != nil {
			return nil, fmt.Errorf("reading sealed values: %w", err)
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

// changeSealed replaces those values that nobody has changed since they were read.
func changeSealed(ctx context.Context, db *database.DB, column Column, changes []sealedChange) error {
	if len(changes) == 0 {
		return nil
	}
	return db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, c := range changes {
			_, err := tx.NewUpdate().TableExpr("?", bun.Ident(column.Table)).Set("? = ?", bun.Ident(column.Column), column.stored(c.to)).
				Where("? = ?", bun.Tuple(column.columns()), bun.Tuple(c.key)).Where("? = ?", bun.Ident(column.Column), column.stored(c.from)).Exec(ctx)
			if err != nil {
				return fmt.Errorf("replacing a sealed value: %w", err)
			}
		}
		return nil
	})
}
