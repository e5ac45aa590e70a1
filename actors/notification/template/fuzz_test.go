package template_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/notification/template"
)

// FuzzTemplate parses and renders any source with any data: no panic, every error has a place in the source, and what is rendered keeps
// the bounds.
func FuzzTemplate(f *testing.F) {
	for _, source := range []string{
		"{{#each a}}{{@index}}{{this.b}}{{else}}x{{/each}}", "{{#if (and a (not b))~}} {{{c}}} {{~else if d}}{{../e}}{{/if}}", "\\{{a}} \\\\{{b}}",
		"{{!-- x --}}\n  {{> p a=1}}\n", "{{date a format=\"d. MMMM yyyy\" zone=\"Europe/Berlin\"}}", "{{plural a one=\"#\" other='##'}}{{json .}}",
	} {
		f.Add(source, `{"a": [1, {"b": "<"}], "d": {"e": null}}`)
	}
	f.Fuzz(func(t *testing.T, source, data string) {
		root, err := template.Decode([]byte(data))
		if err != nil {
			root = &template.Object{}
		}
		object, ok := root.(*template.Object)
		if !ok {
			object = &template.Object{}
			object.Set("a", root)
		}
		for _, part := range []string{template.HTML, template.Text, template.Subject} {
			set := template.Sources{Name: "t", Kind: template.Message, Locale: language.German}
			switch part {
			case template.HTML:
				set.HTML = source
			case template.Text:
				set.Text = source
			case template.Subject:
				set.Subject = source
			}
			compiled, err := template.Compile(set)
			if err == nil {
				b := budget.New(budget.Limits{Steps: 5000, Bytes: 20_000})
				find := func(name, kind string) (*template.Set, error) {
					return template.Compile(template.Sources{Name: name, Kind: kind, Text: "{{a}}{{> p}}", HTML: "{{#each a}}{{.}}{{/each}}", Locale: language.German})
				}
				var out template.Output
				out, _, err = compiled.Render(template.Env{Data: object, Budget: b, LoadZone: time.LoadLocation}, find, true)
				if len(out.Subject)+len(out.HTML) > 20_000 {
					t.Errorf("%d bytes were rendered", len(out.Subject)+len(out.HTML))
				}
			}
			var failed *template.Error
			if err != nil && (!errors.As(err, &failed) || failed.Line < 1 || failed.Column < 1) {
				t.Errorf("%q: %v", source, err)
			}
		}
	})
}
