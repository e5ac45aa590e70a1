package actortest

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

// Plans judges the plans of the statements that an actor runs.
type Plans struct {
	Actor      string
	Migrations fs.FS
	// Small are tables whose size does not grow with use.
	Small []string
	// Bounded are functions that may scan or sort, with the reason: what bounds the rows.
	Bounded map[string]string
	// Columns are SQL expressions of the number i for columns of PostgreSQL's rows, by "table.column". The default values are made by the
	// columns' types and names.
	Columns map[string]string
	// Unused are indexes that no statement of the tests needs, with the reason to have them.
	Unused map[string]string

	tables map[string]bool // all tables
}

// Main runs the tests of an actor's package and then explains each form of the statements that the actor ran in them, on both databases. It
// returns the exit code for TestMain. A statement fails that scans a growing table, or sorts what nothing bounds; so does an index
// that no statement uses, if all tests of the package ran on both databases.
//
// SQLite plans without statistics, there as in production. PostgreSQL's plans depend on the rows: its tables are filled and analysed, and
// enable_seqscan is off, so that a sequential scan means that no index serves.
func (p Plans) Main(m *testing.M) int {
	recorded = &recorder{actor: p.Actor, forms: map[string]statement{}}
	if code := m.Run(); code != 0 {
		return code
	}
	var statements []statement
	for _, s := range recorded.forms {
		statements = append(statements, s)
	}
	slices.SortFunc(statements, func(a, b statement) int { return strings.Compare(a.function+a.form, b.function+b.form) })
	problems, err := p.judge(statements)
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, problem := range problems {
		fmt.Println(problem)
	}
	if len(problems) > 0 {
		fmt.Printf("FAIL: %d problems in the plans of %d statements of %s\n", len(problems), len(statements), p.Actor)
		return 1
	}
	return 0
}

// judge explains the statements on both databases.
func (p Plans) judge(statements []statement) (problems []string, err error) {
	p.tables = map[string]bool{}
	url := cmp.Or(os.Getenv("WEFT_TEST_POSTGRES"), defaultPostgres)
	used := map[string]bool{}
	for _, dialect := range []string{database.DialectSQLite, database.DialectPostgres} {
		if !slices.ContainsFunc(statements, func(s statement) bool { return s.dialect == dialect }) {
			continue
		}
		err := p.open(dialect, url, func(ctx context.Context, db *database.DB) error {
			explain := p.explainSQLite
			if dialect == database.DialectPostgres {
				if err := p.fill(ctx, db); err != nil {
					return err
				}
				explain = p.explainPostgres
			}
			for _, s := range statements {
				if s.dialect != dialect {
					continue
				}
				found, indexes, err := explain(ctx, db, s)
				if err != nil {
					return err
				}
				for _, index := range indexes {
					used[index] = true
				}
				if p.Bounded[s.function] != "" || boundedForAll[s.function] != "" {
					continue
				}
				for _, problem := range found {
					problems = append(problems, fmt.Sprintf("%s: %s: %s\n\t%s", dialect, s.function, problem, s.form))
				}
			}
			if dialect == database.DialectPostgres && wholePackage() {
				unused, err := p.unused(ctx, db, used)
				problems = append(problems, unused...)
				return err
			}
			return nil
		})
		if err != nil {
			return problems, err
		}
	}
	return problems, nil
}

// wholePackage reports whether all tests of the package were run.
func wholePackage() bool {
	return !slices.ContainsFunc(os.Args[1:], func(arg string) bool {
		return strings.HasPrefix(arg, "-test.run=") || strings.HasPrefix(arg, "-test.skip=") || arg == "-test.run" || arg == "-test.skip"
	})
}

// open runs fn with a new database of the actor, which it removes.
func (p Plans) open(dialect, url string, fn func(ctx context.Context, db *database.DB) error) (err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "plans")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg := database.Config{Actor: p.Actor, DataDir: dir, ConnectRetry: -1, MaxOpen: 4}
	if dialect == database.DialectPostgres {
		prefix := "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12] + "_"
		cfg.URL = withParameter(url, "schema_prefix="+prefix)
		defer func() {
			if failed := removeSchema(url, prefix+p.Actor); err == nil {
				err = failed
			}
		}()
	}
	db, err := database.Open(ctx, cfg, zap.NewNop())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := database.Migrate(ctx, db, p.Migrations); err != nil {
		return err
	}
	tables := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if dialect == database.DialectPostgres {
		tables = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`
	}
	var names []string
	if err := db.NewRaw(tables).Scan(ctx, &names); err != nil {
		return err
	}
	for _, name := range names {
		p.tables[name] = true
	}
	return fn(ctx, db)
}

// isGrowing reports whether a table grows with use.
func (p Plans) isGrowing(table string) bool {
	return p.tables[table] && !slices.Contains(p.Small, table) && table != "weft_migrations" && table != "weft_heartbeat"
}

// boundedForAll are functions of all actors that may scan or sort, with what bounds the rows.
var boundedForAll = map[string]string{
	"(*Store).Refresh":    "deferred messages are bounded for each user and in all",
	"(*Store).Take.func1": "the same",
	"DeleteUser":          "the same",
	"(*Exporter).each":    "the rows of one user, for a privacy request",
	"(*Outbox).Pending":   "an erasure waits for it; rows leave the outbox within a second, unless NATS is away",
	"(*Store).countUsage": "a sweep's count of one covering index, by a reader; records are kept for a day",
}

// unused returns a problem for each index that no plan uses and that makes nothing unique.
func (p Plans) unused(ctx context.Context, db *database.DB, used map[string]bool) (problems []string, err error) {
	var indexes []string
	err = db.NewRaw(`SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
		WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisunique ORDER BY 1`).Scan(ctx, &indexes)
	for _, index := range indexes {
		if !used[index] && p.Unused[index] == "" {
			problems = append(problems, "no statement uses the index "+index)
		}
	}
	return problems, err
}
