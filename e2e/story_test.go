package e2e_test

import (
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// wholeStory is the script that covers the product from sign-up to a refused call. It runs in every deployment shape.
const wholeStory = "testdata/stories/whole_story.txt"

// TestStories runs each script on SQLite. testdata/README.md describes their commands.
func TestStories(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("testdata/stories")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".txt") {
			files = append(files, "testdata/stories/"+e.Name())
		}
	}
	runStories(t, files, "SHAPE=one")
}

// TestWholeStoryAsSixProcesses runs wholeStory with a process for each actor, one for the gateway and a NATS server.
func TestWholeStoryAsSixProcesses(t *testing.T) {
	t.Parallel()
	runStories(t, []string{wholeStory}, "SHAPE=six")
}

// TestWholeStoryOnPostgres runs wholeStory in one process and in six, with a PostgreSQL schema for each actor.
func TestWholeStoryOnPostgres(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		if kind.Name != database.DialectPostgres {
			continue
		}
		for _, shape := range []string{"one", "six"} {
			t.Run(shape, func(t *testing.T) {
				t.Parallel()
				runStories(t, []string{wholeStory}, "SHAPE="+shape, "WEFT_DATABASE_URL="+postgresSchemas(t, kind))
			})
		}
	}
}

// postgresSchemas returns a DSN with a schema prefix of the test's own. When the test ends, it checks that every actor has
// created its schema and drops them.
func postgresSchemas(t testing.TB, kind actortest.Database) string {
	t.Helper()
	dsn := kind.Config(t, "auth").URL
	server, prefix := splitSchemaPrefix(t, dsn)
	t.Cleanup(func() {
		pool := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(server)))
		defer func() { _ = pool.Close() }()
		var created int
		err := pool.QueryRow(`SELECT count(DISTINCT table_schema) FROM information_schema.tables WHERE starts_with(table_schema, $1)`,
			prefix).Scan(&created)
		if err != nil || created != len(subjects.Actors()) {
			t.Errorf("%d actors have a schema in PostgreSQL: %v", created, err)
		}
		for _, actor := range subjects.Actors() {
			if _, err := pool.Exec(`DROP SCHEMA IF EXISTS "` + prefix + actor + `" CASCADE`); err != nil {
				t.Errorf("dropping a schema: %v", err)
			}
		}
	})
	return dsn
}

// splitSchemaPrefix returns a DSN of weft's without its schema prefix, which PostgreSQL does not know, and the prefix.
func splitSchemaPrefix(t testing.TB, dsn string) (server, prefix string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	prefix = q.Get("schema_prefix")
	q.Del("schema_prefix")
	u.RawQuery = q.Encode()
	return u.String(), prefix
}

// runStories runs scripts with weft on PATH and settings in the environment.
func runStories(t *testing.T, files []string, settings ...string) {
	if _, err := weftBinary(); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files: files, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", binaries+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/home/.config")
			e.Setenv("WEFT_AUTH_BCRYPT_COST", "4")
			e.Vars = append(e.Vars, settings...)
			s := &story{t: e.T().(testing.TB), programs: map[string]*running{}, streams: map[string]*followed{}}
			e.Values[storyKey{}] = s
			e.Defer(s.end)
			return nil
		},
		Cmds: storyCommands(),
	})
}
