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

func TestActionsFollowTheVendorsDescriptions(t *testing.T) {
	t.Parallel()
	judged := described(t, conformanceFolder())
	if len(judged) == 0 {
		t.Fatal("there are no descriptions")
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
