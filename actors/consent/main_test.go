package consent

import (
	"os"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

// TestMain judges the plans of the statements that the tests have the actor run.
func TestMain(m *testing.M) {
	os.Exit(actortest.Plans{
		Actor: "consent", Migrations: Migrations,
		// consent.notices.max_versions bounds them.
		Small: []string{"consent_notices", "consent_notice_texts"},
		Bounded: map[string]string{
			"store.noticeTexts": "a page has at most 201 versions, each in at most 50 languages",
			"store.activeIn":    "a user has at most one active consent to each scope, and there are at most 109 scopes",
		},
	}.Main(m))
}
