package actortest

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/database"
)

// Patience bounds how long Eventually waits; it allows for a heavily loaded machine.
const Patience = 30 * time.Second

// Eventually polls a condition and fails the test where it does not hold within Patience. It names the condition in the failure.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", Patience, what)
		}
	}
}

// OnEach runs a test on each kind of database, in parallel.
func OnEach(t *testing.T, test func(t *testing.T, kind Database)) {
	t.Helper()
	t.Parallel()
	for _, kind := range Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// OnPostgres runs a test on PostgreSQL if there is one. It is for tests of several processes that share a database, which SQLite
// does not allow.
func OnPostgres(t *testing.T, test func(t *testing.T, kind Database)) {
	t.Helper()
	t.Parallel()
	for _, kind := range Databases(t) {
		if kind.Name == database.DialectPostgres {
			test(t, kind)
		}
	}
}

// Receive waits for a value from a channel, or for its end, and fails the test where neither comes within Patience.
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(Patience):
		t.Fatalf("not within %s: %s", Patience, what)
		panic("unreachable")
	}
}
