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
		// consent.notices.max_versions bounds notices. A receipt key is made where the keyset was lost.
		Small: []string{"consent_notices", "consent_notice_texts", "receipt_keys"},
		Bounded: map[string]string{
			"privacyStore.actorsOf": "five actors for each request of a page",
			"privacyStore.page":     "an admin's list of what is in progress and due",
			"store.receiptKeys":     "a key for each loss of the keyset",
			"store.noticeTexts":     "a page has at most 201 versions, each in at most 50 languages",
			"store.activeIn":        "a user has at most one active consent to each scope, and there are at most 109 scopes",
		},
	}.Main(m))
}
