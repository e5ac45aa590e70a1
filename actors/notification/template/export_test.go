package template

import (
	"maps"
	"slices"
	"strings"
)

// RenderAny renders a template with any value as its data; the suite of handlebars.js has lists and texts.
func (t *Template) RenderAny(env Env, data any) (string, error) {
	e := &evaluation{env: &env, template: t, name: env.Name, partials: []string{env.Name}}
	if err := e.program(t.program, &frame{context: data, root: data}); err != nil {
		return "", err
	}
	return strings.Clone(e.out.String()), nil
}

// PlainText is the text that is made of HTML.
var PlainText = plainText

// Undefined is the value of a missing variable.
var Undefined = undefined

// HelperNames are the names of the helpers.
func HelperNames() []string { return slices.Sorted(maps.Keys(helpers)) }
