package seal

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// sealedRow is a sealed value with the values of its row's Key and With columns, in that order.
type sealedRow struct {
	values []string
	sealed []byte
}

// sealedChange replaces the value from of a row by the value to.
type sealedChange struct {
	key      []string
	from, to []byte
}

// encode returns a sealed value in the column's representation.
func (c Column) encode(value []byte) any {
	if c.Base64 {
		return base64.StdEncoding.EncodeToString(value)
	}
	return value
}

// keyColumns returns the identifiers of the primary key's columns.
func (c Column) keyColumns() (names []bun.Ident) {
	for _, name := range c.Key {
		names = append(names, bun.Ident(name))
	}
	return names
}

// key returns the values of the row's primary key.
func (r sealedRow) key(of Column) []string { return r.values[:len(of.Key)] }

// sealedRows returns up to limit rows with a value in the column, in the order of the primary key and after the key after.
func sealedRows(ctx context.Context, db *database.DB, column Column, after []string, limit int) (found []sealedRow, err error) {
	key := column.keyColumns()
	query := db.NewSelect().TableExpr("?", bun.Ident(column.Table))
	for _, name := range slices.Concat(column.Key, column.With) {
		query.ColumnExpr("?", bun.Ident(name))
	}
	query.ColumnExpr("?", bun.Ident(column.Column)).Where("? > ?", bun.Tuple(key), bun.Tuple(after)).Where("? IS NOT NULL", bun.Ident(column.Column)).
		OrderExpr("?", bun.List(key)).Limit(int64(limit))
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

// updateSealed applies the changes to those rows whose value has not changed since it was read.
func updateSealed(ctx context.Context, db *database.DB, column Column, changes []sealedChange) error {
	if len(changes) == 0 {
		return nil
	}
	return db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, c := range changes {
			_, err := tx.NewUpdate().TableExpr("?", bun.Ident(column.Table)).Set("? = ?", bun.Ident(column.Column), column.encode(c.to)).
				Where("? = ?", bun.Tuple(column.keyColumns()), bun.Tuple(c.key)).Where("? = ?", bun.Ident(column.Column), column.encode(c.from)).Exec(ctx)
			if err != nil {
				return fmt.Errorf("replacing a sealed value: %w", err)
			}
		}
		return nil
	})
}
