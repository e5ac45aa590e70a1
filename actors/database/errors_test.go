package database_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
)

// kind is how an error is classified.
type kind struct{ unavailable, retryable, unique bool }

func kindOf(err error) kind {
	return kind{errors.Is(database.Classify(err), database.ErrUnavailable), database.IsRetryable(err), database.IsUnique(err)}
}

func TestErrorKinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want kind
	}{
		"nil":                      {nil, kind{}},
		"a foreign error":          {errors.New("foreign"), kind{}},
		"no rows":                  {sql.ErrNoRows, kind{}},
		"a canceled context":       {fmt.Errorf("query: %w", context.Canceled), kind{}},
		"a deadline":               {context.DeadlineExceeded, kind{}},
		"SQLITE_BUSY":              {sqliteBusy, kind{unavailable: true, retryable: true}},
		"SQLITE_BUSY_SNAPSHOT":     {sqliteError(5 | 2<<8), kind{unavailable: true, retryable: true}},
		"SQLITE_LOCKED":            {sqliteError(6), kind{unavailable: true, retryable: true}},
		"SQLITE_NOMEM":             {sqliteError(7), kind{unavailable: true}},
		"SQLITE_IOERR_FSYNC":       {sqliteError(10 | 4<<8), kind{unavailable: true}},
		"SQLITE_FULL":              {sqliteError(13), kind{unavailable: true}},
		"SQLITE_CANTOPEN":          {sqliteError(14), kind{unavailable: true}},
		"SQLITE_ERROR":             {sqliteError(1), kind{}},
		"SQLITE_CORRUPT":           {sqliteError(11), kind{}},
		"a unique index of SQLite": {sqliteError(2067), kind{unique: true}},
		"a primary key of SQLite":  {sqliteError(1555), kind{unique: true}},
		"a foreign key of SQLite":  {sqliteError(787), kind{}},
		"a lost connection":        {driver.ErrBadConn, kind{unavailable: true}},
		"a closed pool connection": {sql.ErrConnDone, kind{unavailable: true}},
		"EOF":                      {fmt.Errorf("reading: %w", io.EOF), kind{unavailable: true}},
		"an unexpected EOF":        {io.ErrUnexpectedEOF, kind{unavailable: true}},
		"a closed socket":          {net.ErrClosed, kind{unavailable: true}},
		"a broken pipe":            {syscall.EPIPE, kind{unavailable: true}},
		"a reset":                  {syscall.ECONNRESET, kind{unavailable: true}},
		"a refused connection":     {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, kind{unavailable: true}},
		"a socket's deadline":      {os.ErrDeadlineExceeded, kind{unavailable: true}},
		"a full disk":              {&os.PathError{Op: "write", Err: syscall.ENOSPC}, kind{unavailable: true}},
		"wrapped":                  {fmt.Errorf("a: %w", fmt.Errorf("b: %w", sqliteBusy)), kind{unavailable: true, retryable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := kindOf(c.err); got != c.want {
				t.Errorf("%v is %+v, want %+v", c.err, got, c.want)
			}
			classified := database.Classify(c.err)
			if !errors.Is(classified, c.err) {
				t.Errorf("%v does not wrap %v", classified, c.err)
			}
			if again := database.Classify(classified); again != classified { //nolint:errorlint // it must not be wrapped twice
				t.Errorf("classified twice it is %v", again)
			}
		})
	}
}

// PostgreSQL's errors are classified by their SQLSTATE.
func TestPostgresErrorKinds(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, server actortest.Database) {
		db := server.Open(t, "auth")
		for state, want := range map[string]kind{
			"23505": {unique: true},                       // unique_violation
			"23503": {},                                   // foreign_key_violation
			"22012": {},                                   // division_by_zero
			"42P01": {},                                   // undefined_table
			"40001": {unavailable: true, retryable: true}, // serialization_failure
			"40P01": {unavailable: true, retryable: true}, // deadlock_detected
			"55P03": {unavailable: true, retryable: true}, // lock_not_available
			"53100": {unavailable: true},                  // disk_full
			"53300": {unavailable: true},                  // too_many_connections
			"57P01": {unavailable: true},                  // admin_shutdown
			"57P02": {unavailable: true},                  // crash_shutdown
			"57P03": {unavailable: true},                  // cannot_connect_now
			"57014": {},                                   // query_canceled
			"08006": {unavailable: true},                  // connection_failure
		} {
			_, err := db.ExecContext(t.Context(), fmt.Sprintf("DO $$ BEGIN RAISE EXCEPTION 'test' USING ERRCODE = '%s'; END $$", state))
			if err == nil {
				t.Fatalf("%s: no error", state)
			}
			if got := kindOf(err); got != want {
				t.Errorf("%s (%v) is %+v, want %+v", state, err, got, want)
			}
		}
	})
}
