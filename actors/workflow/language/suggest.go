package language

import (
	"slices"
	"strconv"
	"strings"
)

// maxSuggestLength bounds the names that Suggest compares, in bytes; its time grows with the square.
const maxSuggestLength = 100

// Suggest returns the candidate that a misspelt name most probably means; empty if none is close. Names are close if they
// differ in case, or in at most a third of their letters and at most three: added, left out, replaced or swapped with the next.
// Otherwise the shorter of them, of four letters or more, may be the beginning of the other.
func Suggest(name string, candidates []string) string {
	if best := misspelt(name, candidates); best != "" || len(name) < minPrefixLength {
		return best
	}
	for _, candidate := range slices.Sorted(slices.Values(candidates)) {
		if candidate != name && len(candidate) >= minPrefixLength && (strings.HasPrefix(candidate, name) || strings.HasPrefix(name, candidate)) {
			return candidate
		}
	}
	return ""
}

// minPrefixLength is the length from which a name is suggested because it is the beginning of another.
const minPrefixLength = 4

// misspelt is Suggest without beginnings.
func misspelt(name string, candidates []string) string {
	best, distance := "", min(3, max(1, len(name)/3))+1
	for _, candidate := range slices.Sorted(slices.Values(candidates)) {
		if candidate == name || len(candidate) > maxSuggestLength || len(name) > maxSuggestLength {
			continue
		}
		d := editDistance(strings.ToLower(name), strings.ToLower(candidate))
		if d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// DidYouMean returns `: did you mean "…"?` for the candidate that Suggest returns; empty if there is none.
func DidYouMean(name string, candidates []string) string {
	if suggestion := Suggest(name, candidates); suggestion != "" {
		return ": did you mean " + strconv.Quote(suggestion) + "?"
	}
	return ""
}

// editDistance is the optimal string alignment distance: the insertions, deletions, replacements and swaps of neighbours
// that change a into b.
func editDistance(a, b string) int {
	previous, current := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range current {
		current[j] = j
	}
	for i := range len(a) {
		before := previous
		previous, current = current, make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j+1]+1, current[j]+1, previous[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				current[j+1] = min(current[j+1], before[j-1]+1)
			}
		}
	}
	return current[len(b)]
}

// expected lists names for a fault; empty if there are too many to read.
func expected(names []string) string {
	if len(names) == 0 || len(names) > 16 {
		return ""
	}
	return ": expected one of " + strings.Join(slices.Sorted(slices.Values(names)), ", ")
}
