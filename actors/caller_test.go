package actors_test

import (
	"testing"

	"github.com/weftmesh/weft/actors"
)

func TestCallerOfAContext(t *testing.T) {
	t.Parallel()
	if c := actors.CallerFrom(t.Context()); c.String() != "anyone" || c.UserID != "" || c.Service != "" {
		t.Errorf("without a caller: %+v", c)
	}
	ctx := actors.WithCaller(t.Context(), actors.Caller{UserID: "u", Roles: []string{"user"}})
	if c := actors.CallerFrom(ctx); c.UserID != "u" {
		t.Errorf("the caller is %+v", c)
	}
	ctx = actors.WithCaller(ctx, actors.Caller{Service: "workflow"})
	if c := actors.CallerFrom(ctx); c.UserID != "" || c.Service != "workflow" {
		t.Errorf("the inner caller is %+v", c)
	}
}

// String is a part of idempotency keys, so callers must not share one.
func TestCallerString(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range []struct {
		caller actors.Caller
		want   string
	}{
		{actors.Caller{}, "anyone"},
		{actors.Caller{UserID: "1"}, "user:1"},
		{actors.Caller{UserID: "1", SessionID: "s", KeyID: "k"}, "user:1"},
		{actors.Caller{UserID: "2"}, "user:2"},
		{actors.Caller{Service: "workflow"}, "service:workflow/"},
		{actors.Caller{Service: "workflow", UserID: "1"}, "service:workflow/1"},
	} {
		if got := c.caller.String(); got != c.want {
			t.Errorf("%+v is %q, want %q", c.caller, got, c.want)
		}
		seen[c.want] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d distinct names", len(seen))
	}
}

func TestHasRole(t *testing.T) {
	t.Parallel()
	c := actors.Caller{Roles: []string{"user", "admin"}}
	for role, want := range map[string]bool{"admin": true, "user": true, "adm": false, "": false} {
		if got := c.HasRole(role); got != want {
			t.Errorf("HasRole(%q) = %t", role, got)
		}
	}
	if (actors.Caller{}).HasRole("user") {
		t.Error("an anonymous caller has a role")
	}
}
