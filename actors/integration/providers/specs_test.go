//go:build specs

package providers_test

import (
	"os"
	"testing"
)

// TestActionsMatchWholeDescriptions validates the actions against the whole descriptions, which `make specs` fetches.
func TestActionsMatchWholeDescriptions(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("WEFT_SPECS")
	if folder == "" {
		t.Fatal("WEFT_SPECS is not set: run make conformance-specs")
	}
	for _, provider := range providerIDs(t) {
		c := caseOf(t, provider)
		if c == nil || c.Description == nil {
			continue
		}
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			absent := namesOf(c.Description.Absent)
			d := readDescription(t, folder, provider, c)
			checkActions(t, d, c, provider, absent)
			t.Logf("%d mutations", checkMutations(t, d, c, provider, absent))
		})
	}
}
