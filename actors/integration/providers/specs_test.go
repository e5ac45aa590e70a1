//go:build specs

package providers_test

import (
	"os"
	"testing"
)

// What `make specs` fetched: every provider that has a description, by the whole of it.
func TestActionsFollowTheFetchedDescriptions(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("WEFT_SPECS")
	if folder == "" {
		t.Fatal("WEFT_SPECS names no folder: run make conformance-specs")
	}
	for _, provider := range providerIDs(t) {
		c := caseOf(t, provider)
		if c == nil || c.Description == nil {
			continue
		}
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			absent := namesOf(c.Description.Absent)
			d := describe(t, folder, provider, c)
			follow(t, d, c, provider, absent)
			t.Logf("%d mutations", catches(t, d, c, provider, absent))
		})
	}
}
