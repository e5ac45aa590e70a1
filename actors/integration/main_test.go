package integration

import (
	"os"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

// TestMain judges the plans of the statements that the tests have the actor run.
func TestMain(m *testing.M) {
	os.Exit(actortest.Plans{
		Actor: "integration", Migrations: Migrations,
		Bounded: map[string]string{
			"expiredObjects": "the files of one user",
			"lastProbeTo":    "the connections of one user",
		},
	}.Main(m))
}
