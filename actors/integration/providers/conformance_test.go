//go:build conformance

package providers_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

func conformanceFolder() string {
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = "../../../../shared/conformance"
	}
	return filepath.Join(root, "openapi")
}

// describedThere are the providers that the folder describes; more may come.
var describedThere = []string{
	"bitbucket", "github", "gmail", "google_analytics", "google_calendar", "google_drive", "google_sheets", "hubspot",
	"microsoft_teams", "onedrive", "outlook_mail", "postmark", "sendgrid", "slack", "stripe", "telegram", "twilio",
}

func TestActionsFollowTheVendorsDescriptions(t *testing.T) {
	t.Parallel()
	judged := described(t, conformanceFolder())
	for _, id := range describedThere {
		if !slices.Contains(judged, id) {
			t.Errorf("there is no description of %s", id)
		}
	}
	mutations := 0
	for _, provider := range judged {
		c := caseOf(t, provider)
		absent := slices.Concat(c.Description.Beyond, namesOf(c.Description.Absent))
		d := describe(t, conformanceFolder(), provider, c)
		follow(t, d, c, provider, absent)
		mutations += catches(t, d, c, provider, absent)
	}
	t.Logf("%d mutations of %d providers", mutations, len(judged))
}

// An example that leaves a field out leaves it unjudged.
func TestExamplesUseEveryField(t *testing.T) {
	t.Parallel()
	for _, provider := range providerIDs(t) {
		c := caseOf(t, provider)
		if c.Description == nil {
			continue
		}
		p, err := manifest.Load([]byte(source(t, provider)))
		if err != nil {
			t.Fatal(err)
		}
		everyField(t, c, p)
	}
}
