package engine

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/uptrace/bun"
)

// rowsPerStatement bounds the rows that a statement names by their ids.
const rowsPerStatement = 100

// maxRowsShift bounds the rows of one statement to 1 << maxRowsShift.
const maxRowsShift = 6

// rowStatements are statements that insert rows into a table. On PostgreSQL there is one for each power of two rows, so that any number of rows
// takes few statements, each of which a connection prepares once: planning literals took PostgreSQL twice the time of storing the rows.
type rowStatements struct {
	into     string
	columns  []string
	conflict string

	once  [maxRowsShift + 1]sync.Once
	texts [maxRowsShift + 1]string
}

// single returns the statement for one row on SQLite.
func (s *rowStatements) single() string { return s.text(1, func(int) string { return "?" }) }

// text returns the statement for a number of rows, with the given names of its parameters.
func (s *rowStatements) text(rows int, parameter func(n int) string) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + s.into + " (" + strings.Join(s.columns, ", ") + ") VALUES ")
	for n := range rows * len(s.columns) {
		switch {
		case n == 0:
			b.WriteByte('(')
		case n%len(s.columns) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString(parameter(n + 1))
	}
	b.WriteString(")" + s.conflict)
	return b.String()
}

// execRows stores rows by the statements of s.
func execRows[T any](ctx context.Context, tx bun.Tx, s *rowStatements, rows []T, values func(T) []any) error {
	for shift := maxRowsShift; len(rows) > 0; {
		n := 1 << shift
		if n > len(rows) {
			shift--
			continue
		}
		s.once[shift].Do(func() { s.texts[shift] = s.text(n, func(i int) string { return "$" + strconv.Itoa(i) }) })
		args := make([]any, 0, n*len(s.columns))
		for i := range n {
			args = append(args, values(rows[i])...)
		}
		if _, err := tx.Tx.ExecContext(ctx, s.texts[shift], args...); err != nil { // bun would write the arguments into the text
			return err
		}
		rows = rows[n:]
	}
	return nil
}
