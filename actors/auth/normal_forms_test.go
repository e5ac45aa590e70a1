package auth_test

import (
	"encoding/base64"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/weftmesh/weft/subjects"
)

// An address in an internationalised domain is one account in both forms, and mail goes to the form that every server accepts.
func TestInternationalDomains(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.register("Ada@M\u00dcNCHEN.example")
		for _, address := range []string{"ada@mu\u0308nchen.example", "ada@XN--MNCHEN-3YA.example", "ada@m\u00fcnchen\u3002example"} {
			s := mustCall(b, subjects.Login, subjects.LoginRequest{Email: address, Password: goodPassword}, "")
			if s.User.Email != "ada@xn--mnchen-3ya.example" {
				t.Errorf("%s signs in as %s", address, s.User.Email)
			}
		}
		for _, address := range []string{"ada@\u200d.example", "ada@-\u00fc.example", "ada@xn--\u00fc.example"} {
			_, err := call(b, subjects.Register, subjects.RegisterRequest{Email: address, Password: goodPassword}, "")
			if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != "email" {
				t.Errorf("%q: %v", address, err)
			}
		}
	})
}

// Persian and Sinhala names need joiners; elsewhere they are invisible and refused.
func TestJoinersInNames(t *testing.T) {
	b := onSQLite(t)
	s := b.signUp("ada@example.com")
	update := func(name string) error {
		_, err := call(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{FirstName: subjects.Some(name)}, s.AccessToken)
		return err
	}
	for _, name := range []string{
		"\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0dc1\u0dca\u200d\u0dbb\u0dd3", "Ada \u0dc1\u0dca\u200d\u0dbb\u0dd3-King", "\u0915\u094d\u200c\u0937",
	} {
		if err := update(name); err != nil {
			t.Errorf("%+q: %v", name, err)
		}
		if me := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, s.AccessToken); me.FirstName != name {
			t.Errorf("%+q is kept as %+q", name, me.FirstName)
		}
	}
	for _, name := range []string{"A\u200cda", "\u200dAda", "Ada\u200c", "A\u200bda", "Ada\u202e", "\u200c", "\u0639\u200d\u0644", "A\x07"} {
		if err := update(name); subjects.CodeOf(err) != subjects.CodeInvalid {
			t.Errorf("%+q: %v", name, err)
		}
	}
}

// A password typed on another keyboard has the same characters as other code points.
func TestPasswordsAreNormalised(t *testing.T) {
	b := onSQLite(t)
	const composed = "Pa\u00dfw\u00f6rter-\u00e9t\u00e9-\uc548\ub155-9"
	decomposed := norm.NFD.String(composed)
	mustCall(b, subjects.Register, subjects.RegisterRequest{Email: "ada@example.com", Password: composed}, "")
	mustCall(b, subjects.Register, subjects.RegisterRequest{Email: "bob@example.com", Password: decomposed}, "")
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		for _, typed := range []string{composed, decomposed} {
			if _, err := call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: typed}, ""); err != nil {
				t.Errorf("%s with %+q: %v", email, typed, err)
			}
		}
	}
}

func TestTimeZoneNames(t *testing.T) {
	b := onSQLite(t)
	s := b.signUp("ada@example.com")
	update := func(zone string) error {
		_, err := call(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{TimeZone: subjects.Some(zone)}, s.AccessToken)
		return err
	}
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "GMT0", "America/Port-au-Prince"} {
		if err := update(zone); err != nil {
			t.Errorf("%s: %v", zone, err)
		}
	}
	for _, zone := range []string{"right/UTC", "posix/UTC", "Local", "localtime", "posixrules", "Factory", "zone.tab", "../etc/localtime", "/UTC", "right/Europe/Berlin"} {
		if err := update(zone); subjects.CodeOf(err) != subjects.CodeInvalid {
			t.Errorf("%s: %v", zone, err)
		}
	}
}

// Every list refuses a malformed cursor instead of returning the first page.
func TestMalformedCursors(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		admin := b.admin("root@example.com").AccessToken
		cursors := []string{"x", "%", "e30", base64.RawURLEncoding.EncodeToString([]byte(`["a","b"]`)), base64.RawURLEncoding.EncodeToString([]byte(`["\u0000"]`))}
		for _, cursor := range cursors {
			page := subjects.PageRequest{Cursor: cursor}
			_, users := call(b, subjects.ListUsers, subjects.ListUsersRequest{PageRequest: page}, admin)
			_, sessions := call(b, subjects.ListSessions, subjects.ListSessionsRequest{PageRequest: page}, admin)
			_, keys := call(b, subjects.ListAPIKeys, subjects.ListAPIKeysRequest{PageRequest: page}, admin)
			_, passkeys := call(b, subjects.ListPasskeys, subjects.ListPasskeysRequest{PageRequest: page}, admin)
			_, identities := call(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{PageRequest: page}, admin)
			for name, err := range map[string]error{"users": users, "sessions": sessions, "keys": keys, "passkeys": passkeys, "identities": identities} {
				if subjects.CodeOf(err) != subjects.CodeInvalid {
					t.Errorf("%s with the cursor %s: %v", name, cursor, err)
				}
			}
		}
	})
}
