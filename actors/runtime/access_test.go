package runtime

import (
	"errors"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// mayCall is the whole access rule for users; services are checked by the subject and its permissions.
func TestMayCall(t *testing.T) {
	t.Parallel()
	user := actors.Caller{UserID: "u", SessionID: "s", Roles: []string{subjects.RoleUser}}
	admin := actors.Caller{UserID: "a", SessionID: "s", Roles: []string{subjects.RoleUser, subjects.RoleAdmin}}
	enrolling := actors.Caller{UserID: "u", SessionID: "s", Claims: mesh.Claims{Scope: "enroll"}}
	key := func(scope string) actors.Caller {
		return actors.Caller{UserID: "u", KeyID: "k", Roles: []string{subjects.RoleUser}, Claims: mesh.Claims{Scope: scope}}
	}
	anonymous := actors.Caller{}
	public := subjects.Access{Anyone: true}
	signedIn := subjects.Access{SignedIn: true}
	scoped := subjects.Access{SignedIn: true, KeyScope: "things:read"}
	services := subjects.Access{Services: subjects.ExecuteAction.Describe().Access.Services}
	for name, c := range map[string]struct {
		access subjects.Access
		caller actors.Caller
		want   subjects.Code
	}{
		"public, anonymous":                    {public, anonymous, ""},
		"public, user":                         {public, user, ""},
		"public, key":                          {public, key(""), ""},
		"services only, anonymous":             {services, anonymous, subjects.CodeForbidden},
		"services only, admin":                 {services, admin, subjects.CodeForbidden},
		"no access, admin":                     {subjects.Access{}, admin, subjects.CodeForbidden},
		"signed in, anonymous":                 {signedIn, anonymous, subjects.CodeUnauthenticated},
		"signed in, user":                      {signedIn, user, ""},
		"signed in, key":                       {signedIn, key("things:read"), subjects.CodeForbidden},
		"signed in, enrolling":                 {signedIn, enrolling, subjects.CodeForbidden},
		"enrolling allowed":                    {subjects.Access{SignedIn: true, Enrolling: true}, enrolling, ""},
		"enrolling allowed, user":              {subjects.Access{SignedIn: true, Enrolling: true}, user, ""},
		"a role, without it":                   {subjects.Access{SignedIn: true, Role: subjects.RoleAdmin}, user, subjects.CodeForbidden},
		"a role, with it":                      {subjects.Access{SignedIn: true, Role: subjects.RoleAdmin}, admin, ""},
		"a role, anonymous":                    {subjects.Access{SignedIn: true, Role: subjects.RoleAdmin}, anonymous, subjects.CodeUnauthenticated},
		"a scope, user":                        {scoped, user, ""},
		"a scope, key with it":                 {scoped, key("things:read"), ""},
		"a scope, key with it and others":      {scoped, key("a things:read b"), ""},
		"a scope, key without it":              {scoped, key("things:write"), subjects.CodeForbidden},
		"a scope, key with a longer one":       {scoped, key("things:read:all"), subjects.CodeForbidden},
		"a scope, key without scopes":          {scoped, key(""), subjects.CodeForbidden},
		"a role and a scope, key without role": {subjects.Access{SignedIn: true, Role: subjects.RoleAdmin, KeyScope: "x"}, key("x"), subjects.CodeForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := *subjects.GetUserProfile.Describe()
			d.Access = c.access
			err := mayCall(&d, c.caller)
			if got := subjects.CodeOf(err); got != c.want {
				t.Errorf("%v, want %q", err, c.want)
			}
			var coded *subjects.Error
			lacksScope := strings.HasPrefix(name, "a scope, key") && c.want != ""
			if errors.As(err, &coded) && (coded.Scope != "") != lacksScope {
				t.Errorf("the error names the scope %q", coded.Scope)
			}
		})
	}
}

func TestEndpointMetadata(t *testing.T) {
	t.Parallel()
	d := *subjects.SendNotification.Describe()
	d.Limits = []subjects.Limit{{By: "user", Requests: 5, Period: 60e9}, {By: "ip", Requests: 9, Period: 1e9}}
	d.Consent = "notifications.send"
	got := metadataOf(&d)
	for name, want := range map[string]string{
		"doc": d.Doc, "access": d.Access.String(), "timeout": d.Timeout.String(), "route": "POST /v1/notifications",
		"consent": "notifications.send", "limits": "5 per user in 1m0s, 9 per ip in 1s",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"request_schema", "response_schema"} {
		if !strings.HasPrefix(got[name], "{") {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	plain := metadataOf(subjects.HealthChecks["auth"].Describe())
	for _, name := range []string{"route", "consent", "limits"} {
		if value, ok := plain[name]; ok {
			t.Errorf("health_check has the %s %q", name, value)
		}
	}
}
