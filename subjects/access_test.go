package subjects_test

import (
	"slices"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

func TestAccessString(t *testing.T) {
	t.Parallel()
	for want, access := range map[string]subjects.Access{
		"":                                 {},
		"public":                           subjects.Public,
		"public, signed in or not":         subjects.SignIn,
		"user":                             subjects.User,
		"role admin":                       subjects.Role(subjects.RoleAdmin),
		"user, or key with workflows.read": subjects.Scope(subjects.ScopeWorkflowsRead),
		"user, including during second-factor enrollment": subjects.Enrolling,
		"service workflow under a grant":                  subjects.Service("workflow"),
		"service auth":                                    subjects.ServiceWithoutGrant("auth"),
		"user, or key with notifications.send; service auth; service workflow under a grant": subjects.Scope(subjects.ScopeNotificationsSend).
			Or(subjects.ServiceWithoutGrant("auth")).Or(subjects.Service("workflow")),
	} {
		if got := access.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAccessOr(t *testing.T) {
	t.Parallel()
	both := subjects.Scope("a").Or(subjects.Scope("b")).Or(subjects.Role("r")).Or(subjects.Enrolling).Or(subjects.Public)
	if !both.Anyone || !both.SignedIn || !both.Enrolling || both.KeyScope != "a" || both.Role != "r" {
		t.Errorf("the union is %+v", both)
	}
	services := subjects.Service("a", "b").Or(subjects.ServiceWithoutGrant("c"))
	for _, test := range []struct {
		service         string
		allowed, grants bool
	}{{"a", true, true}, {"b", true, true}, {"c", true, false}, {"d", false, true}, {"", false, true}} {
		if allowed := services.AllowsService(test.service); allowed != test.allowed {
			t.Errorf("service %q is allowed: %t", test.service, allowed)
		}
		if grants := services.NeedsGrant(test.service); grants != test.grants {
			t.Errorf("service %q needs a grant: %t", test.service, grants)
		}
	}
}

// TestOrDoesNotShareItsOperands checks that a rule can be extended twice, as declarations do with package variables.
func TestOrDoesNotShareItsOperands(t *testing.T) {
	t.Parallel()
	base := subjects.Access{Services: slices.Grow([]string{"a"}, 4), Grantless: slices.Grow([]string{"a"}, 4)}
	b, c := base.Or(subjects.ServiceWithoutGrant("b")), base.Or(subjects.ServiceWithoutGrant("c"))
	if !slices.Equal(b.Services, []string{"a", "b"}) || !slices.Equal(c.Services, []string{"a", "c"}) || !slices.Equal(b.Grantless, b.Services) {
		t.Errorf("the unions are %v and %v", b.Services, c.Services)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	scopes := subjects.Scopes()
	if sorted := slices.Compact(slices.Sorted(slices.Values(scopes))); len(sorted) != len(scopes) || slices.Contains(scopes, subjects.ScopeEnroll) {
		t.Errorf("scopes are %v", scopes)
	}
	for _, d := range subjects.Endpoints() {
		for what, scope := range map[string]string{"consent": d.Consent, "key scope": d.Access.KeyScope} {
			if scope != "" && !slices.Contains(scopes, scope) {
				t.Errorf("%s: %s %q is not a scope", d.Subject, what, scope)
			}
		}
	}
}
