package template_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/notification/template"
)

// shippedData has every variable that the shipped templates document.
const shippedData = `{"app": {"name": "weft"}, "user": {"first_name": "Ada"}, "link": "https://weft.example/verify?token=t", "minutes": 30,
	"email": "new@example.com", "provider": "GitHub", "name": "report", "label": "work", "reason": "token revoked", "trigger": "schedule",
	"execution_id": "e1", "approval_id": "a1", "title": "Pay?", "task": "pay", "count": 2, "kind": "access", "change": "extended", "due": "2027-01-31", "request_id": "r1",
	"scope": "workflows.execute", "expires_at": "2026-12-31T12:00:00Z", "consent_id": "c1",
	"items": [{"subject": "one"}, {"subject": "two"}]}`

// TestShippedTemplates: each has an English and a German version with the same variables, and renders without missing variables.
func TestShippedTemplates(t *testing.T) {
	t.Parallel()
	sets, err := template.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	byLocale := map[language.Tag]map[string]*template.Set{}
	for _, set := range sets {
		if byLocale[set.Locale] == nil {
			byLocale[set.Locale] = map[string]*template.Set{}
		}
		byLocale[set.Locale][set.Name] = set
	}
	if len(byLocale) != 2 || !slices.Equal(slices.Sorted(maps.Keys(byLocale[language.English])), slices.Sorted(maps.Keys(byLocale[language.German]))) {
		t.Fatalf("the languages differ: %v", byLocale)
	}
	for locale, sets := range byLocale {
		find := func(name, kind string) (*template.Set, error) {
			if set := sets[name]; set != nil && set.Kind == kind {
				return set, nil
			}
			return nil, fmt.Errorf("no %s %s", kind, name)
		}
		for name, set := range sets {
			if set.Kind != template.Message {
				continue
			}
			out, missing, err := set.Render(env(t, shippedData), find, true)
			if err != nil || len(missing) > 0 {
				t.Errorf("%s in %s: %v, missing %v", name, locale, err, missing)
			}
			if out.Subject == "" || !strings.HasSuffix(out.Text, "\n") || strings.Contains(out.Text, "\n\n\n") || strings.Contains(out.Subject+out.Text, "Ada") {
				t.Errorf("%s in %s: %q", name, locale, out)
			}
		}
	}
}

// env returns what a test renders with.
func env(t *testing.T, data string) template.Env {
	t.Helper()
	root, err := template.Decode([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return template.Env{
		Name: "test", Data: root.(*template.Object), Zone: time.UTC, LoadZone: time.LoadLocation,
		Budget: budget.New(budget.Limits{Steps: 100_000, Bytes: 256 << 10, Time: time.Minute}),
	}
}
