package template_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/notification/template"
)

// specCase is a rendering case of the suite of handlebars.js.
type specCase struct {
	ID, It, Template string
	Data             json.RawMessage
	Code             bool
	Expected         *string
	Exception        any
	Partials         map[string]string
	Options, Runtime map[string]any
	Decorators       bool
	Helpers          []string
}

// The counts that docs/templates.md states.
const (
	specRendered, specRefused, specOther = 90, 240, 119
)

// TestHandlebarsSuite runs the rendering cases of handlebars.js: what Parse accepts renders as it does there, what is not in the subset is
// refused with a position. Cases that need an option of the compiler or a JavaScript value are counted and not run.
func TestHandlebarsSuite(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/handlebars-spec.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []specCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	var rendered, refused, other int
	for _, c := range cases {
		strict, run := c.runnable()
		if !run {
			other++
			continue
		}
		switch accepted, err := c.check(strict); {
		case err != nil:
			t.Errorf("%s (%s): %q: %v", c.ID, c.It, c.Template, err)
		case accepted && len(c.Helpers) > 0:
			other++ // a name is a variable here, and a helper of the case there
		case accepted:
			rendered++
		default:
			refused++
		}
	}
	if rendered != specRendered || refused != specRefused || other != specOther {
		t.Errorf("of %d cases %d rendered, %d were refused, %d need what weft does not have; docs/templates.md says %d, %d and %d",
			len(cases), rendered, refused, other, specRendered, specRefused, specOther)
	}
}

// runnable reports whether the case can be run, and whether it is in strict mode.
func (c specCase) runnable() (strict, run bool) {
	for name, value := range c.Options {
		switch {
		case name == "strict" && value == true:
			strict = true
		case name == "data": // the variables of loops are always there
		default:
			return false, false
		}
	}
	for name := range c.Runtime {
		if name != "data" {
			return false, false
		}
		if c.Runtime[name] != false && c.Runtime[name] != true {
			return false, false
		}
	}
	return strict, !c.Code && !c.Decorators
}

// check runs a case. It reports false where the case is refused.
func (c specCase) check(strict bool) (accepted bool, err error) {
	options := template.Options{Part: template.HTML, Kind: template.Message, Locale: language.English}
	main, err := template.Parse(c.Template, options)
	if err != nil {
		return false, positioned(err)
	}
	partials := map[string]*template.Template{}
	options.Kind = template.Partial
	for name, source := range c.Partials {
		if partials[name], err = template.Parse(source, options); err != nil {
			return false, positioned(err)
		}
	}
	root := template.Undefined
	if c.Data != nil {
		if root, err = template.Decode(c.Data); err != nil {
			return false, err
		}
	}
	var missing []template.Missing
	got, err := main.RenderAny(template.Env{
		Budget: budget.New(budget.Limits{Steps: 10000, Bytes: 10000}), Missing: &missing,
		Partial: func(name string) (*template.Template, error) {
			if partials[name] == nil {
				return nil, errors.New("no such partial")
			}
			return partials[name], nil
		},
	}, root)
	if err == nil && strict && len(missing) > 0 {
		err = errors.New("missing variable")
	}
	switch {
	case len(c.Helpers) > 0:
		return true, nil
	case c.Exception != nil && err == nil:
		return true, fmt.Errorf("rendered %q, and must fail", got)
	case c.Exception != nil:
		return true, nil
	case err != nil:
		return true, err
	case c.Expected != nil && got != *c.Expected:
		return true, fmt.Errorf("rendered %q, want %q", got, *c.Expected)
	}
	return true, nil
}

// positioned returns an error where a refusal has no position.
func positioned(err error) error {
	var refusal *template.Error
	if !errors.As(err, &refusal) || refusal.Line < 1 || refusal.Column < 1 || refusal.Message == "" {
		return fmt.Errorf("refused without a position: %w", err)
	}
	return nil
}
