package consent

import (
	"maps"
	"slices"

	"github.com/weftmesh/weft/subjects"
)

// gpcRegions are the states of the US whose laws make a universal opt-out signal such as Global Privacy Control binding, as of 2026, beginning
// with California (Cal. Civ. Code §1798.135(e), 11 CCR 7025) and Colorado (C.R.S. 6-1-1306(1)(a)(IV)).
var gpcRegions = []string{"US-CA", "US-CO", "US-CT", "US-DE", "US-MD", "US-MT", "US-NE", "US-NH", "US-NJ", "US-OR", "US-TX"}

// gpcApplies reports whether the signal is honoured in a region: in those of the table and where it is not known, which the US without a state
// is too.
func gpcApplies(region string) bool {
	return region == "" || region == "US" || slices.Contains(gpcRegions, region)
}

// saleScopes returns the scopes whose purposes sell or share personal information.
func (list purposes) saleScopes() []string {
	var scopes []string
	for _, p := range list.all {
		if p.SaleOrShare != "" {
			scopes = append(scopes, p.Scope)
		}
	}
	return scopes
}

// suppressedOf returns the scopes that Global Privacy Control suppresses, given those that the user has opted in to nevertheless.
func suppressedOf(scopes []string, conflicts []subjects.GPCConflict) []string {
	left := map[string]bool{}
	for _, scope := range scopes {
		left[scope] = true
	}
	for _, c := range conflicts {
		delete(left, c.Scope)
	}
	return append([]string{}, slices.Sorted(maps.Keys(left))...) // an empty list, not null
}
