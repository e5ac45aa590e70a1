package database

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// maxInsertedShift bounds the rows of one statement to 1 << maxInsertedShift.
const maxInsertedShift = 6

// Insertion inserts rows into a table by prepared statements. On SQLite there is one, which is executed for each row. On PostgreSQL, where a
// round trip costs more, there is one for each power of two rows, so that any number of rows takes few statements, each of which a connection
// prepares once: planning literals took PostgreSQL twice the time of storing the rows.
type Insertion[T any] struct {
	// Into is the table, with its alias if Conflict needs one.
	Into string
	// Columns are the columns, Values their values of a row, in the same order.
	Columns []string
	Values  func(row T) []any
	// Conflict is the clause ON CONFLICT; empty for none.
	Conflict string

	// Texts of the statements: for one row on SQLite, for each power of two rows on PostgreSQL.
	onceSingle sync.Once
	single     string
	once       [maxInsertedShift + 1]sync.Once
	texts      [maxInsertedShift + 1]string
}

// Exec inserts rows.
func (s *Insertion[T]) Exec(ctx context.Context, tx bun.Tx, rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	exec := s.execMany
	if tx.Dialect().Name() == dialect.SQLite {
		exec = s.execEach
	}
	if err := exec(ctx, tx, rows); err != nil {
		return fmt.Errorf("inserting into %s: %w", s.Into, err)
	}
	return nil
}

func (s *Insertion[T]) execEach(ctx context.Context, tx bun.Tx, rows []T) error {
	s.onceSingle.Do(func() { s.single = s.text(1, func(int) string { return "?" }) })
	statement, err := tx.PrepareContext(ctx, s.single)
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }()
	for _, row := range rows {
		if _, err := statement.ExecContext(ctx, s.Values(row)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Insertion[T]) execMany(ctx context.Context, tx bun.Tx, rows []T) error {
	for shift := maxInsertedShift; len(rows) > 0; {
		n := 1 << shift
		if n > len(rows) {
			shift--
			continue
		}
		s.once[shift].Do(func() { s.texts[shift] = s.text(n, func(i int) string { return "$" + strconv.Itoa(i) }) })
		args := make([]any, 0, n*len(s.Columns))
		for _, row := range rows[:n] {
			args = append(args, s.Values(row)...)
		}
		if _, err := tx.Tx.ExecContext(ctx, s.texts[shift], args...); err != nil { // bun would write the arguments into the text
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// text returns the statement for a number of rows, with the given names of its parameters.
func (s *Insertion[T]) text(rows int, parameter func(n int) string) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + s.Into + " (" + strings.Join(s.Columns, ", ") + ") VALUES ")
	for n := range rows * len(s.Columns) {
		switch {
		case n == 0:
			b.WriteByte('(')
		case n%len(s.Columns) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString(parameter(n + 1))
	}
	b.WriteString(") " + s.Conflict)
	return b.String()
}
