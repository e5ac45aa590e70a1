package workflow

import (
	"os"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

// TestMain judges the plans of the statements that the tests have the actor run.
func TestMain(m *testing.M) {
	os.Exit(actortest.Plans{
		Actor: "workflow", Migrations: Migrations,
		Small: []string{"partitions", "extensions", "edges", "edge_outboxes"},
		Bounded: map[string]string{
			"dueUsers":       "the users with due schedules",
			"liveExecutions": "what a partition's owner keeps in memory",
		},
	}.Main(m))
}
