package notification

import (
	"os"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
)

// TestMain judges the plans of the statements that the tests have the actor run.
func TestMain(m *testing.M) {
	os.Exit(actortest.Plans{
		Actor: "notification", Migrations: Migrations,
		Small: []string{"templates", "template_revisions"},
		Bounded: map[string]string{
			"countStore.counts":        "the days, channels and categories of one user",
			"store.attempts":           "the attempts of one page of deliveries",
			"store.batchItemIDs":       "the items of one batch",
			"templateStore.variantsAt": "the texts of one template",
			"webhookStore.group":       "the webhooks of some users",
		},
		Unused: map[string]string{"webhook_deliveries_ordered": "deliveries in the order of their keys, which the tests of dispatch have"},
	}.Main(m))
}
