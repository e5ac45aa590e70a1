package auth

import (
	"os"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

// TestMain judges the plans of the statements that the tests have the actor run.
func TestMain(m *testing.M) {
	os.Exit(actortest.Plans{
		Actor: "auth", Migrations: Migrations,
		Small: []string{"signing_keys", "secrets"},
		Bounded: map[string]string{
			"signingKeys":     "a handful of keys",
			"incrementEpochs": "an admin ends all sessions of all accounts",
			"erasureAnswers":  "the answers to one erasure",
		},
	}.Main(m))
}
