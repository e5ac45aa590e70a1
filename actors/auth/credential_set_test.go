package auth

import (
	"testing"

	"github.com/weftmesh/weft/subjects"
)

func TestCredentialSetCount(t *testing.T) {
	t.Parallel()
	providers := map[string]*provider{"corp": nil}
	set := credentialSet{
		passkeys:   []passkey{{ID: "p1"}, {ID: "p2", Suspended: true}},
		identities: []identity{{ID: "i1", Provider: "corp"}, {ID: "i2", Provider: "removed"}},
	}
	for except, want := range map[string]int{"": 2, "p1": 1, "p2": 2, "i1": 1, "i2": 2} {
		if got := set.count(providers, except); got != want {
			t.Errorf("without %q: %d, want %d", except, got, want)
		}
	}
	if got := set.activePasskeys("p1"); got != 0 {
		t.Errorf("without the active passkey: %d", got)
	}
	if got := (credentialSet{}).count(providers, ""); got != 0 {
		t.Errorf("an empty set counts %d", got)
	}
}

func TestRequireOtherCredential(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hash   string
		others int
		want   subjects.Code
	}{{"", 0, subjects.CodeConflict}, {"", 1, ""}, {"hash", 0, ""}} {
		if got := subjects.CodeOf(requireOtherCredential(user{PasswordHash: test.hash}, test.others)); got != test.want {
			t.Errorf("hash %q, %d others: got %q, want %q", test.hash, test.others, got, test.want)
		}
	}
}

func TestSecondFactorPolicy(t *testing.T) {
	t.Parallel()
	admin, other := []string{subjects.RoleUser, subjects.RoleAdmin}, []string{subjects.RoleUser}
	for _, test := range []struct {
		config, account string
		roles           []string
		want            bool
	}{
		{requireOff, factorDefault, admin, false},
		{requireOff, factorRequired, other, true},
		{requireAdmins, factorDefault, admin, true},
		{requireAdmins, factorDefault, other, false},
		{requireAll, factorDefault, other, true},
		{requireAll, factorOptional, admin, false},
	} {
		c, u := Config{RequireSecondFactor: test.config}, user{SecondFactor: test.account, Roles: test.roles}
		if got := c.needsSecondFactor(u); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
		kept := "session"
		if test.want {
			kept = ""
		}
		if got := c.keptSession(u, 0, "session"); got != kept {
			t.Errorf("%+v: keeps %q without a second factor", test, got)
		}
		if got := c.keptSession(u, 1, "session"); got != "session" {
			t.Errorf("%+v: keeps %q with a second factor", test, got)
		}
	}
}
