package mesh

import (
	"fmt"
	"testing"
)

// even moves only to servers that can lead, and leaves no server with two more than another that could have one of them.
func TestEven(t *testing.T) {
	t.Parallel()
	led := func(n int, from string, eligible ...string) (list []group) {
		for i := range n {
			list = append(list, group{Move{Stream: fmt.Sprint(from, i), From: from}, append([]string{from}, eligible...)})
		}
		return list
	}
	for name, c := range map[string]struct {
		groups []group
		want   map[string]int
	}{
		"nothing":                {nil, map[string]int{}},
		"one server":             {led(5, "a"), map[string]int{"a": 5}},
		"even":                   {append(led(2, "a", "b"), led(1, "b", "a")...), map[string]int{"a": 2, "b": 1}},
		"one has all":            {led(24, "a", "b", "c"), map[string]int{"a": 8, "b": 8, "c": 8}},
		"a server that lags":     {append(led(4, "a", "b"), led(4, "b", "a", "c")...), map[string]int{"a": 3, "b": 3, "c": 2}},
		"a server for some only": {append(led(6, "a"), led(2, "b", "c")...), map[string]int{"a": 6, "b": 1, "c": 1}},
	} {
		got := map[string]int{}
		for _, g := range c.groups {
			got[g.move.From]++
		}
		moves := even(c.groups)
		for _, m := range moves {
			got[m.From]--
			got[m.To]++
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v, by %v", name, got, c.want, moves)
		}
	}
}
