//go:build torture

package e2e_test

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// reducer makes JSON values smaller until the time is up.
type reducer struct{ until time.Time }

// mostParts bounds the parts of one value that are made smaller one by one.
const mostParts = 24

// smaller calls try with variants of a value that lack a part, or have a simpler one, until try returns true. It reports whether it did.
func (r reducer) smaller(v any, try func(any) bool) bool {
	if time.Now().After(r.until) {
		return false
	}
	switch v := v.(type) {
	case object:
		return r.smallerObject(v, try)
	case []any:
		return r.smallerList(v, try)
	case string:
		return r.smallerText(v, try)
	case int:
		return v > 1 && try(v/10)
	}
	return false
}

// smallerText simplifies a text, or halves what is repeated in it.
func (r reducer) smallerText(v string, try func(any) bool) bool {
	if len(v) <= 8 {
		return false
	}
	if try("") || try("${ . }") {
		return true
	}
	for unit := 1; unit <= 40; unit++ {
		if less := halved(v, unit); less != v && try(less) {
			return true
		}
	}
	return try(v[:len(v)/2]) || try(v[len(v)/2:])
}

// halved returns a text with half of the repetitions of whatever of a length is repeated.
func halved(text string, unit int) string {
	var less strings.Builder
	for at := 0; at < len(text); {
		repeated := 1
		for end := at + unit*(repeated+1); end <= len(text) && text[end-unit:end] == text[at:at+unit]; end += unit {
			repeated++
		}
		if repeated < 4 {
			less.WriteByte(text[at])
			at++
			continue
		}
		less.WriteString(text[at : at+unit*(repeated/2)])
		at += unit * repeated
	}
	return less.String()
}

func (r reducer) smallerObject(v object, try func(any) bool) bool {
	names := slices.Sorted(maps.Keys(v))
	without := func(removed ...string) any {
		less := maps.Clone(v)
		for _, name := range removed {
			delete(less, name)
		}
		return less
	}
	if half := len(names) / 2; half > 1 && (try(without(names[:half]...)) || try(without(names[half:]...))) {
		return true
	}
	for _, name := range names[:min(len(names), mostParts)] {
		if try(without(name)) {
			return true
		}
	}
	for _, name := range names[:min(len(names), mostParts)] {
		if r.smaller(v[name], func(part any) bool {
			with := maps.Clone(v)
			with[name] = part
			return try(with)
		}) {
			return true
		}
	}
	return false
}

func (r reducer) smallerList(v []any, try func(any) bool) bool {
	if half := len(v) / 2; half > 1 && (try(v[:half]) || try(v[half:])) {
		return true
	}
	for n := range min(len(v), mostParts) {
		if try(slices.Delete(slices.Clone(v), n, n+1)) {
			return true
		}
	}
	for n := range min(len(v), mostParts) {
		if r.smaller(v[n], func(part any) bool {
			with := slices.Clone(v)
			with[n] = part
			return try(with)
		}) {
			return true
		}
	}
	return false
}
