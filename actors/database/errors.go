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
	// ErrUnavailable marks failures that may pass without a change by the caller: the database is unreachable, full or
	// overloaded.
	ErrUnavailable = errors.New("database unavailable")
	// ErrInUse means that another copy of the actor has the SQLite file open, or that a lock file is locked.
	ErrInUse = errors.New("database file is in use by another copy of this actor")
)

// Primary result codes of SQLite, the low byte of an extended code (https://www.sqlite.org/rescode.html).
const (
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteNoMem    = 7
	sqliteIOErr    = 10
	sqliteFull     = 13
	sqliteCantOpen = 14

	sqliteTooBig     = 18
	sqliteConstraint = 19
	sqliteMismatch   = 20
)

// Extended result codes of SQLite for violations of a unique index and of a primary key.
const (
	sqliteConstraintUnique     = 2067
	sqliteConstraintPrimaryKey = 1555
)

// Classify wraps err with ErrUnavailable if the database is unreachable, full or busy, and returns any other err unchanged.
// RunInTx classifies its errors itself. The runtime classifies the errors of handlers, because reads return bun's errors.
func Classify(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || !isUnavailable(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// IsRefused reports whether the database refuses the values that a statement gave it: they are too large, of another type, or violate a
// constraint. Another attempt with the same values fails in the same way.
func IsRefused(err error) bool {
	if code, ok := sqliteCode(err); ok {
		switch code & 0xff {
		case sqliteTooBig, sqliteConstraint, sqliteMismatch:
			return true
		}
		return false
	}
	switch state := postgresState(err); {
	case strings.HasPrefix(state, "22"), strings.HasPrefix(state, "23"), strings.HasPrefix(state, "54"):
		return true // data exception, integrity constraint violation, program limit exceeded
	}
	return false
}

// IsUnique reports whether err is a violation of a unique index or a primary key, on either dialect.
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

// IsRetryable reports whether the whole transaction may succeed if it is run again at once: SQLite was busy, or PostgreSQL
// reported a serialization failure, a deadlock or a lock timeout.
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

// isConnectionLost reports whether the connection to the server broke or could not be made. An ended context is not a lost
// connection, although its error is a network timeout too.
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
