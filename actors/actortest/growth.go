package actortest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

const (
	// fewRows is what the times at many rows are compared with.
	fewRows = 10_000
	// fillBatch is how many rows one transaction fills a table with.
	fillBatch = 250_000
	// growthRounds is how often an operation is timed, of which the lower quartile counts.
	growthRounds = 21
	// maxGrowth is how many times an operation may take at many rows what it takes at few, and growthFloor what is too short to compare.
	maxGrowth, growthFloor = 2, 500 * time.Microsecond
)

// Growth times operations on ten thousand rows and on WEFT_TORTURE_ROWS, 100,000 by default.
type Growth struct {
	Actor string
	// Open returns an empty database.
	Open func(t *testing.T, kind Database) *database.DB
	// Tables are filled in order.
	Tables []Filled
	// Operations return the operations to time, on rows numbered from 1 to n.
	Operations func(t *testing.T, db *database.DB, n int) []Timed
}

// Filled is a table with SQL expressions of the row's number i for its columns. {id E} is an id that is ordered like the number E. Other
// columns are empty, zero or false.
type Filled struct {
	Table   string
	Columns map[string]string
}

// Timed is an operation. Rows is how many rows it processes, for its rate, or 0. Scans says that it reads a bounded number of rows one by one: many
// more of them are in a database's page cache if the table is small, so that it may take four times as long at many rows.
type Timed struct {
	Name  string
	Rows  int
	Scans bool
	Run   func(ctx context.Context) error
}

// Test fails if an operation takes more than twice as long at many rows as at few.
func (g Growth) Test(t *testing.T) {
	many := 100_000
	if text := os.Getenv("WEFT_TORTURE_ROWS"); text != "" {
		var err error
		if many, err = strconv.Atoi(text); err != nil || many < fewRows {
			t.Fatalf("WEFT_TORTURE_ROWS is %q, want a number from %d", text, fewRows)
		}
	}
	for _, kind := range Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			small, large := g.Open(t, kind), g.Open(t, kind)
			g.fill(t, small, fewRows)
			g.fill(t, large, many)
			few, all := g.Operations(t, small, fewRows), g.Operations(t, large, many)
			for i := range all {
				short, long := measure(t, few[i], all[i])
				line := fmt.Sprintf("| %s, %s | %s | %v | %v | %.2f |", g.Actor, kind.Name, all[i].Name, short, long, float64(long)/float64(short))
				if all[i].Rows > 0 {
					line += fmt.Sprintf(" %.0f rows a second |", float64(all[i].Rows)/long.Seconds())
				}
				t.Log(line)
				allowed := maxGrowth * max(short, growthFloor)
				if all[i].Scans {
					allowed *= 2
				}
				if long > allowed {
					t.Errorf("%s takes %v at %d rows and %v at %d", all[i].Name, long, many, short, fewRows)
				}
			}
		})
	}
}

// measure times the same operation at few and at many rows, in turns. It returns the lower quartiles, which other work on the machine
// changes least.
func measure(t *testing.T, few, many Timed) (short, long time.Duration) {
	t.Helper()
	var took [2][]time.Duration
	for range growthRounds {
		for i, o := range []Timed{few, many} {
			start := time.Now()
			if err := o.Run(t.Context()); err != nil {
				t.Fatalf("%s: %v", o.Name, err)
			}
			took[i] = append(took[i], time.Since(start))
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	return took[0][growthRounds/4].Round(time.Microsecond), took[1][growthRounds/4].Round(time.Microsecond)
}

// fill adds the rows up to a number, and has PostgreSQL analyse them.
func (g Growth) fill(t *testing.T, db *database.DB, rows int) {
	t.Helper()
	for _, table := range g.Tables {
		for first := 0; first < rows; first += fillBatch {
			Fill(t, db, table, first, min(rows, first+fillBatch))
		}
	}
	if db.Dialect() != database.DialectPostgres {
		if err := db.Scrub(t.Context()); err != nil { // the write-ahead log is in the file then, as it is most of the time
			t.Fatal(err)
		}
		return
	}
	for _, table := range g.Tables {
		write(t, db, "ANALYZE "+table.Table)
	}
}

// Fill adds the rows after from up to to.
func Fill(t testing.TB, db *database.DB, table Filled, from, to int) {
	t.Helper()
	query := `SELECT name, CASE WHEN type LIKE '%BOOL%' THEN 'boolean' WHEN type LIKE '%INT%' THEN 'bigint' WHEN type LIKE 'B%' THEN 'bytea' ELSE '' END AS type
		FROM pragma_table_info('` + table.Table + `') WHERE "notnull"`
	series := fmt.Sprintf("WITH RECURSIVE series (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM series WHERE i < %d) ", from+1, to)
	source := "series"
	if db.Dialect() == database.DialectPostgres {
		query = `SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = '` +
			table.Table + `' AND is_nullable = 'NO'`
		series, source = "", fmt.Sprintf("generate_series(%d::bigint, %d) AS i", from+1, to)
	}
	var columns []filledColumn
	if err := db.NewRaw(query).Scan(t.Context(), &columns); err != nil {
		t.Fatal(err)
	}
	names, values := make([]string, 0, len(columns)), make([]string, 0, len(columns))
	add := func(name, value string) { names, values = append(names, `"`+name+`"`), append(values, value) }
	for _, c := range columns {
		if _, given := table.Columns[c.Name]; given {
			continue
		}
		switch c.Type {
		case "boolean":
			add(c.Name, "FALSE")
		case "bigint", "integer":
			add(c.Name, "0")
		case "bytea":
			add(c.Name, map[string]string{database.DialectSQLite: "x''", database.DialectPostgres: `'\x'`}[db.Dialect()])
		default:
			add(c.Name, "''")
		}
	}
	for name, value := range table.Columns {
		add(name, expandIDs(value, db.Dialect()))
	}
	write(t, db, series+"INSERT INTO "+table.Table+" ("+strings.Join(names, ", ")+") SELECT "+strings.Join(values, ", ")+" FROM "+source)
}

// expandIDs replaces {id E} by an id.
func expandIDs(value, dialect string) string {
	for {
		before, rest, found := strings.Cut(value, "{id ")
		if !found {
			return value
		}
		number, after, _ := strings.Cut(rest, "}")
		id := "printf('%08x-0000-7000-8000-%012x', (" + number + ") / 256, " + number + ")"
		if dialect == database.DialectPostgres {
			id = "lpad(to_hex((" + number + ") / 256), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(" + number + "), 12, '0')"
		}
		value = before + "(" + id + ")" + after
	}
}

// FilledID is the id that {id E} is for a number.
func FilledID(number int) string { return fmt.Sprintf("%08x-0000-7000-8000-%012x", number/256, number) }

func write(t testing.TB, db *database.DB, statement string) {
	t.Helper()
	err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.Tx.ExecContext(ctx, statement) //nolint:gosec // a test's own statement
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
