package actortest

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/database"
)

// Patience is how long Eventually waits: long enough for a crowded machine.
const Patience = 30 * time.Second

// Eventually waits until a condition holds, and fails the test where it does not within Patience.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("in vain: " + what)
		}
	}
}

// OnEach runs a test on each db, in parallel.
func OnEach(t *testing.T, test func(t *testing.T, db Database)) {
	t.Helper()
	t.Parallel()
	for _, db := range Databases(t) {
		t.Run(db.Name, func(t *testing.T) {
			t.Parallel()
			test(t, db)
		})
	}
}

// OnPostgres runs a test on PostgreSQL alone, where there is one: several processes can share a db there, SQLite's file has one.
func OnPostgres(t *testing.T, test func(t *testing.T, db Database)) {
	t.Helper()
	t.Parallel()
	for _, db := range Databases(t) {
		if db.Name == database.DialectPostgres {
			test(t, db)
		}
	}
}
