//go:build torture

package e2e_test

import (
	"encoding/json"
	"maps"
	"slices"
)

// smaller returns variants of a JSON value with one part removed or simplified, the smallest first.
func smaller(v any) []any {
	all := simpler(v)
	sizes := make(map[int]int, len(all))
	order := make([]int, len(all))
	for n := range all {
		text, err := json.Marshal(all[n])
		if err != nil {
			continue
		}
		sizes[n], order[n] = len(text), n
	}
	slices.SortStableFunc(order, func(a, b int) int { return sizes[a] - sizes[b] })
	sorted := make([]any, len(all))
	for n, k := range order {
		sorted[n] = all[k]
	}
	return sorted
}

// simpler returns variants in any order.
func simpler(v any) (all []any) {
	switch v := v.(type) {
	case object:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			without := maps.Clone(v)
			delete(without, name)
			all = append(all, without)
			for _, part := range simpler(v[name]) {
				with := maps.Clone(v)
				with[name] = part
				all = append(all, with)
			}
		}
	case []any:
		if len(v) > 3 {
			all = append(all, v[:len(v)/2], v[len(v)/2:])
		}
		for n := range min(len(v), 4) {
			all = append(all, slices.Delete(slices.Clone(v), n, n+1))
			for _, part := range simpler(v[n]) {
				with := slices.Clone(v)
				with[n] = part
				all = append(all, with)
			}
		}
	case string:
		if len(v) > 8 {
			all = append(all, "", "${ . }", v[:len(v)/2])
		}
	case int:
		if v > 1 {
			all = append(all, v/10)
		}
	}
	return all
}
