package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/uptrace/bun/driver/pgdriver"
)

var (
	// ErrUnavailable marks what may succeed later without the caller changing anything: the database is away, full or
	// overloaded.
	ErrUnavailable = errors.New("database unavailable")
	// ErrDatabaseInUse is OpenDatabase's refusal of a second copy of an actor on the same SQLite file.
	ErrInUse = errors.New("database file is in use by another copy of this actor")
)

// SQLite's primary result codes, https://www.sqlite.org/rescode.html; the low byte of an extended code.
const (
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteNoMem    = 7
	sqliteIOErr    = 10
	sqliteFull     = 13
	sqliteCantOpen = 14
)

// SQLite's extended codes of a unique index and of a primary key.
const (
	sqliteConstraintUnique     = 2067
	sqliteConstraintPrimaryKey = 1555
)

// Classify marks err with ErrUnavailable where the database is away, full or busy, and returns any other err as it
// is. RunInTx does so itself; the runtime does it to what a handler returns, since reads come straight from bun.
func Classify(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || !isUnavailable(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// IsUnique tells whether err is a violation of a unique index or primary key, on either dialect.
func IsUnique(err error) bool {
	if code, ok := sqliteCode(err); ok {
		return code == sqliteConstraintUnique || code == sqliteConstraintPrimaryKey
	}
	return postgresState(err) == "23505"
}

func isUnavailable(err error) bool {
	if code, ok := sqliteCode(err); ok {
		switch code & 0xff {
		case sqliteBusy, sqliteLocked, sqliteNoMem, sqliteIOErr, sqliteFull, sqliteCantOpen:
			return true
		}
		return false
	}
	return isConnectionLost(err) || IsRetryable(err) || errors.Is(err, syscall.ENOSPC) ||
		strings.HasPrefix(postgresState(err), "53") // insufficient resources: disk, memory, connections
}

// isRetryable tells whether the whole transaction may succeed when run again at once.
func IsRetryable(err error) bool {
	if code, ok := sqliteCode(err); ok {
		return code&0xff == sqliteBusy || code&0xff == sqliteLocked
	}
	switch postgresState(err) {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return true
	}
	return false
}

// isConnectionLost tells whether the server, or the way to it, went away. A context that ended is the caller's doing,
// though it looks like a network timeout.
func isConnectionLost(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if state := postgresState(err); state != "" {
		switch state {
		case "57P01", "57P02", "57P03", "25P03": // shutting down, crashed, starting up, idle session ended
			return true
		}
		return strings.HasPrefix(state, "08")
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

func sqliteCode(err error) (int, bool) {
	var coded interface {
		error
		Code() int
	}
	if errors.As(err, &coded) {
		return coded.Code(), true
	}
	return 0, false
}

func postgresState(err error) string {
	var pg pgdriver.Error
	if errors.As(err, &pg) {
		return pg.Field('C')
	}
	return ""
}
