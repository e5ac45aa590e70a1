//go:build conformance

package providers_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// conformanceFolder is the folder with the slices of descriptions.
func conformanceFolder() string {
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = "../../../../shared/conformance"
	}
	return filepath.Join(root, "openapi")
}

// minimalDescriptions are the providers of which the folder must contain a description.
var minimalDescriptions = []string{
	"bitbucket", "github", "gmail", "google_analytics", "google_calendar", "google_drive", "google_sheets", "hubspot",
	"microsoft_teams", "onedrive", "outlook_mail", "postmark", "sendgrid", "slack", "stripe", "telegram", "twilio",
}

// TestActionsMatchDescriptions validates the actions against the slices of the providers' descriptions.
func TestActionsMatchDescriptions(t *testing.T) {
	t.Parallel()
	described := describedProviders(t, conformanceFolder())
	for _, id := range minimalDescriptions {
		if !slices.Contains(described, id) {
			t.Errorf("%s has no description of %s", conformanceFolder(), id)
		}
	}
	mutations := 0
	for _, provider := range described {
		c := caseOf(t, provider)
		absent := slices.Concat(c.Description.Beyond, namesOf(c.Description.Absent))
		d := readDescription(t, conformanceFolder(), provider, c)
		checkActions(t, d, c, provider, absent)
		mutations += checkMutations(t, d, c, provider, absent)
	}
	t.Logf("%d mutations of %d providers", mutations, len(described))
}

// TestExamplesUseEveryField: fields that an example omits are not validated against the description.
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
		checkExampleFields(t, c, p)
	}
}
