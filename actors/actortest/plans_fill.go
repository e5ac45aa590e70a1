package actortest

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// filledRows is the number of rows that a table is filled with: enough for an index to be cheaper than a scan.
const filledRows = 20_000

// filledColumn is a column of PostgreSQL's catalogue.
type filledColumn struct {
	Table  string
	Name   string
	Type   string
	Length int
	Single bool // in a unique index
}

// fill fills the growing tables and analyses them.
func (p Plans) fill(ctx context.Context, db *database.DB) error {
	var columns []filledColumn
	err := db.NewRaw(`SELECT c.table_name AS "table", c.column_name AS name, c.data_type AS type, coalesce(c.character_maximum_length, 36) AS length,
		EXISTS (SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
			WHERE i.indisunique AND a.attname = c.column_name AND i.indrelid = (current_schema() || '.' || c.table_name)::regclass) AS single
		FROM information_schema.columns AS c WHERE c.table_schema = current_schema() AND c.is_identity = 'NO'
		AND coalesce(c.column_default, '') NOT LIKE 'nextval%' ORDER BY c.table_name, c.ordinal_position`).Scan(ctx, &columns)
	if err != nil {
		return fmt.Errorf("reading the columns: %w", err)
	}
	names, values := map[string][]string{}, map[string][]string{}
	for _, c := range columns {
		if p.isGrowing(c.Table) {
			names[c.Table], values[c.Table] = append(names[c.Table], `"`+c.Name+`"`), append(values[c.Table], p.value(c))
		}
	}
	return db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		for table := range names {
			_, err := tx.Tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM generate_series(1, %d) AS i ON CONFLICT DO NOTHING", table,
				strings.Join(names[table], ", "), strings.Join(values[table], ", "), filledRows))
			if err != nil {
				return fmt.Errorf("filling %s: %w", table, err)
			}
			if _, err := tx.Tx.ExecContext(ctx, "ANALYZE "+table); err != nil {
				return fmt.Errorf("analysing %s: %w", table, err)
			}
		}
		return nil
	})
}

// value is the SQL of a column's value in the row i. A user has fifty rows, a time is one of the last twenty thousand seconds, one row in fifty
// is true.
func (p Plans) value(c filledColumn) string {
	digest := func(of string) string { return fmt.Sprintf("substr(md5((%s)::text)::uuid::text, 1, %d)", of, c.Length) }
	switch {
	case p.Columns[c.Table+"."+c.Name] != "":
		return p.Columns[c.Table+"."+c.Name]
	case c.Type == "boolean":
		return "i % 50 = 0"
	case c.Type == "bytea":
		return `decode(md5(i::text), 'hex')`
	case c.Name == "at" || strings.HasSuffix(c.Name, "_at") || strings.HasSuffix(c.Name, "_until"):
		return "(extract(epoch FROM now()) * 1e6)::bigint - i * 1000000::bigint"
	case c.Type == "bigint" || c.Type == "integer":
		return "i"
	case c.Name == "user_id" && c.Table != "consent_subjects":
		return digest("i % 400")
	case c.Single:
		return digest("i")
	case strings.HasSuffix(c.Name, "_id"):
		return digest("i % 4000")
	default:
		return fmt.Sprintf("substr('value ' || i %% 40, 1, %d)", c.Length)
	}
}
