package settings

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestListsAreSplitAtCommas(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{"": {}, " , ,": {}, "a": {"a"}, " a, b c ,d": {"a", "b c", "d"}} {
		if got := splitList(text); !slices.Equal(got, want) {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}

// TestEverySettingIsDescribed requires a comment in the code for every setting and section.
func TestEverySettingIsDescribed(t *testing.T) {
	t.Parallel()
	count := 0
	Walk(reflect.ValueOf(Default()), "", func(path string, _ reflect.Value, _ bool) {
		count++
		if Describe(path) == "" {
			t.Errorf("%s has no comment in the code", path)
		}
	})
	list := List(Descriptions())
	if len(list) != len(KnownKeys().Leaves()) || count < len(list) {
		t.Errorf("%d of %d settings are listed", len(list), len(KnownKeys().Leaves()))
	}
	for _, s := range list {
		if path, _, ok := KnownKeys().byVariable(s.Variable); !ok || path != s.Path && !slices.Contains([]rune(s.Path), '*') {
			t.Errorf("the variable %s sets %s, not %s", s.Variable, path, s.Path)
		}
	}
}

// TestKeySetKnowsEveryField compares the keys with the fields of Config and finds each by its variable.
func TestKeySetKnowsEveryField(t *testing.T) {
	t.Parallel()
	known := KnownKeys()
	for _, path := range []string{"data", "auth.bcrypt_cost", "gateway.limits.per_ip", "workflow_database_url", "integration.providers.slack.base_url"} {
		if !known.Leaf(path) || known.Section(path) {
			t.Errorf("%s is no setting", path)
		}
	}
	for _, path := range []string{"auth", "gateway.limits", "integration.providers", "integration.providers.slack", "integration.providers.slack.limits"} {
		if known.Leaf(path) || !known.Section(path) {
			t.Errorf("%s is no section", path)
		}
	}
	for _, path := range []string{"", "auth.nothing", "gateway.limits.per_ip.x", "nothing.at.all"} {
		if known.Leaf(path) || known.Section(path) {
			t.Errorf("%s is known", path)
		}
	}
	for path, kind := range known.leaves {
		if strings.Contains(path, "*") {
			continue
		}
		if got, t2, ok := known.byVariable(VariableOf(path)); !ok || got != path || t2 != kind {
			t.Errorf("%s is found as %s by %s", path, got, VariableOf(path))
		}
	}
}
