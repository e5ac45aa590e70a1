package notification

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors/notification/template"
)

// templateGraph has the current variants of all templates, by id.
type templateGraph map[string]map[variantKey]variant

// check returns an error if a template uses one that is not there, is of another kind, lacks the part that it is used in, or uses itself.
// Only the template with the id and those that use it are looked at, also by way of others: partials are looked up in the
// language of the message. otherwise is the default locale.
func (g templateGraph) check(otherwise, id string) error {
	for _, id := range append([]string{id}, g.usersOf(id)...) {
		for _, v := range g.sorted(id) {
			if err := g.checkVariant(v, otherwise); err != nil {
				return &useError{id: id, locale: v.locale, err: err}
			}
		}
	}
	return nil
}

// usersOf returns the other templates that use one, by way of others too.
func (g templateGraph) usersOf(id string) []string {
	users := map[string]bool{id: true}
	for before := 0; before < len(users); {
		before = len(users)
		for name, variants := range g {
			for _, v := range variants {
				if v.usesAny(users) {
					users[name] = true
				}
			}
		}
	}
	delete(users, id)
	return slices.Sorted(maps.Keys(users))
}

// useError says which template uses another one wrongly.
type useError struct {
	id, locale string
	err        error
}

func (e *useError) Error() string { return fmt.Sprintf("template %q (%s): %s", e.id, e.locale, e.err) }

// Unwrap returns the cause.
func (e *useError) Unwrap() error { return e.err }

// partError is an error of one part or the layout of a template, about a template that it uses.
type partError struct{ part, name, message string }

func (e *partError) Error() string { return e.part + ": " + e.message }

func (g templateGraph) sorted(id string) []variant {
	return slices.SortedFunc(maps.Values(g[id]), func(a, b variant) int {
		if a.locale != b.locale {
			return cmp.Compare(a.locale, b.locale)
		}
		return cmp.Compare(a.channel, b.channel)
	})
}

func (v variant) usesAny(ids map[string]bool) bool {
	return ids[v.uses.Layout] || slices.ContainsFunc(v.uses.partials(), func(name string) bool { return ids[name] })
}

// checkVariant checks what one variant uses, and what that uses in turn.
func (g templateGraph) checkVariant(v variant, otherwise string) error {
	walk := graphWalk{templateGraph: g, otherwise: otherwise, locale: v.locale, heights: map[[2]string]int{}}
	for _, part := range v.uses.Parts {
		clear(walk.heights)
		if v.kind == template.Partial {
			walk.heights[[2]string{v.id, part}] = 0
		}
		for _, name := range v.uses.Partials[part] {
			if _, err := walk.partial(name, part); err != nil {
				return &partError{part, name, err.Error()}
			}
		}
	}
	if v.uses.Layout == "" {
		return nil
	}
	layout, err := walk.find(v.uses.Layout, template.Layout)
	if err != nil {
		return &partError{"layout", v.uses.Layout, err.Error()}
	}
	for _, part := range layout.uses.Parts {
		for _, name := range layout.uses.Partials[part] {
			if _, err := walk.partial(name, part); err != nil {
				return &partError{"layout", layout.id, err.Error()}
			}
		}
	}
	return nil
}

// graphWalk follows the partials of one variant.
type graphWalk struct {
	templateGraph

	otherwise, locale string
	// heights are those of partials by name and part; 0 for those that are being checked.
	heights map[[2]string]int
}

// find returns the variant of a partial or layout that a template in the walk's locale uses.
func (w graphWalk) find(id, kind string) (variant, error) {
	v, known := choose(w.templateGraph[id], w.locale, w.otherwise, "")
	if !known || v.kind != kind {
		return variant{}, fmt.Errorf("there is no %s %q", kind, id)
	}
	return v, nil
}

// partial checks a partial that a part uses, and those that it uses, each once. It returns how deep they are nested.
func (w graphWalk) partial(name, part string) (height int, err error) {
	if part == template.Subject {
		part = template.Text
	}
	key := [2]string{name, part}
	if height, checked := w.heights[key]; checked {
		if height == 0 {
			return 0, fmt.Errorf("the partial %q uses itself", name)
		}
		return height, nil
	}
	w.heights[key] = 0 // being checked
	partial, err := w.find(name, template.Partial)
	if err != nil {
		return 0, err
	}
	if !slices.Contains(partial.uses.Parts, part) {
		return 0, fmt.Errorf("the partial %q has no %s", name, part)
	}
	for _, used := range partial.uses.Partials[part] {
		below, err := w.partial(used, part)
		if err != nil {
			return 0, err
		}
		height = max(height, below)
	}
	if height++; height > template.MaxPartials {
		return 0, fmt.Errorf("partials are nested more than %d deep", template.MaxPartials)
	}
	w.heights[key] = height
	return height, nil
}
