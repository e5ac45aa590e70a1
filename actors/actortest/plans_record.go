package actortest

import (
	"context"
	"path"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/weftmesh/weft/actors/database"
)

// recorded has the statements of the actor whose plans are judged; without one it records nothing.
var recorded = &recorder{}

// statement is one form of a statement, with the values that it was first run with.
type statement struct {
	// function is the function that ran it, without the package's path.
	function string
	dialect  string
	form     string
	query    string
}

// recorder is a hook that keeps each form of the statements that the code of an actor runs, those of tests excepted.
type recorder struct {
	actor string

	mu    sync.Mutex
	forms map[string]statement
}

// BeforeQuery implements bun.QueryHook.
func (r *recorder) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	query := strings.TrimSpace(e.Query)
	verb, _, _ := strings.Cut(query, " ")
	switch verb {
	case "SELECT", "UPDATE", "DELETE", "WITH":
	default: // the plan of INSERT … VALUES has nothing to judge
		return ctx
	}
	form, on := formOf(query), database.DialectSQLite
	if e.DB.Dialect().Name() == dialect.PG {
		on = database.DialectPostgres
	}
	r.mu.Lock()
	_, known := r.forms[on+form]
	r.mu.Unlock()
	if known {
		return ctx
	}
	if function, ok := callerOfQuery(); ok {
		r.mu.Lock()
		r.forms[on+form] = statement{function: function, dialect: on, form: form, query: query}
		r.mu.Unlock()
	}
	return ctx
}

// AfterQuery implements bun.QueryHook.
func (*recorder) AfterQuery(context.Context, *bun.QueryEvent) {}

var (
	literals = regexp.MustCompile(`'(?:[^']|'')*'|\b\d+\b|\bTRUE\b|\bFALSE\b`)
	lists    = regexp.MustCompile(`\((?:\?|NULL)(?:, (?:\?|NULL))+\)`)
	tuples   = regexp.MustCompile(`\(…\)(?:, \(…\))+`)
)

// formOf is a statement without its values, and with one value in place of a list.
func formOf(query string) string {
	return tuples.ReplaceAllString(lists.ReplaceAllString(literals.ReplaceAllString(query, "?"), "(…)"), "(…)")
}

// callerOfQuery returns the function that runs the statement; false if it is a test's.
func callerOfQuery() (string, bool) {
	callers := make([]uintptr, 40)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		switch {
		case strings.Contains(frame.Function, "uptrace/bun"), strings.Contains(frame.Function, "actors/database."):
		case strings.HasSuffix(frame.File, "_test.go"), strings.Contains(frame.Function, "actors/actortest."):
			return "", false
		default:
			_, function, _ := strings.Cut(path.Base(frame.Function), ".")
			return function, more
		}
		if !more {
			return "", false
		}
	}
}
