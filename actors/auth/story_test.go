package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestRegisterAndLogin(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		b.register("Ada@Example.COM")
		session := b.login("ada@example.com")
		if session.TokenType != "Bearer" || session.ExpiresIn != 900 || session.RefreshToken == "" {
			t.Errorf("session is %+v", session)
		}
		profile := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken)
		if profile.ID == "" || profile.Email != "ada@example.com" || profile.EmailVerified || profile.FirstName != "Ada" ||
			profile.Locale != "en" || profile.TimeZone != "UTC" || !slices.Equal(profile.Roles, []string{"user"}) {
			t.Errorf("profile is %+v", profile)
		}
		if profile.ID != session.User.ID {
			t.Errorf("login and profile return different accounts")
		}
		_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
	})
}

func TestRegisterTakenAddressGetsTheSameReply(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		session := b.signUp("ada@example.com")
		got := mustCall(b, subjects.Register, subjects.RegisterRequest{
			Email: "ADA@example.com", Password: "another good one", FirstName: "Eve",
		}, "")
		if got.Status != "accepted" {
			t.Errorf("got %+v for a taken address", got)
		}
		if p := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, session.AccessToken); p.FirstName != "Ada" {
			t.Errorf("the second registration changed the account: %+v", p)
		}
		_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "another good one"}, "")
		requireCode(t, err, subjects.CodeUnauthenticated)
		b.login("ada@example.com")
	})
}

func TestRegisterValidatesItsInput(t *testing.T) {
	b := onSQLite(t)
	for name, test := range map[string]struct {
		req   subjects.RegisterRequest
		field string
	}{
		"short":        {subjects.RegisterRequest{Email: "a@example.com", Password: "x7-Kq2p"}, "password"},
		"common":       {subjects.RegisterRequest{Email: "a@example.com", Password: "P@ssw0rd123!"}, "password"},
		"own name":     {subjects.RegisterRequest{Email: "a@example.com", Password: "lovelace1815", LastName: "Lovelace"}, "password"},
		"too long":     {subjects.RegisterRequest{Email: "a@example.com", Password: strings.Repeat("päss", 65)}, "password"},
		"display name": {subjects.RegisterRequest{Email: "Ada <a@example.com>", Password: goodPassword}, "email"},
		"control":      {subjects.RegisterRequest{Email: "a@example.com", Password: goodPassword, FirstName: "A\u202eda"}, "first_name"},
		"zone":         {subjects.RegisterRequest{Email: "a@example.com", Password: goodPassword, TimeZone: "Mars/Olympus"}, "time_zone"},
	} {
		_, err := call(b, subjects.Register, test.req, "")
		if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != test.field {
			t.Errorf("%s: field is %s, want %s", name, e.Fields[0].Field, test.field)
		}
	}
	// bcrypt alone ignores everything after 72 bytes.
	long := strings.Repeat("päss wörd ", 12)
	mustCall(b, subjects.Register, subjects.RegisterRequest{Email: "long@example.com", Password: long}, "")
	mustCall(b, subjects.Login, subjects.LoginRequest{Email: "long@example.com", Password: long}, "")
	_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "long@example.com", Password: long + "x"}, "")
	requireCode(t, err, subjects.CodeUnauthenticated)
}

func TestUnknownAddressAndWrongPasswordGetTheSameReply(t *testing.T) {
	b := onSQLite(t)
	b.register("ada@example.com")
	_, unknown := call(b, subjects.Login, subjects.LoginRequest{Email: "eve@example.com", Password: "wrong wrong"}, "")
	_, wrong := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "wrong wrong"}, "")
	requireCode(t, unknown, subjects.CodeUnauthenticated)
	if unknown.Error() != wrong.Error() {
		t.Errorf("reply for an unknown address %v, for a wrong password %v", unknown, wrong)
	}
}

func TestUpdateUserProfile(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		token := b.signUp("ada@example.com").AccessToken
		got := mustCall(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{
			FirstName: subjects.Some(" Augusta "), Locale: subjects.Some("DE-at"), TimeZone: subjects.Some("Europe/Vienna"),
			AvatarURL: subjects.Some("https://example.com/ada.png"),
		}, token)
		if got.FirstName != "Augusta" || got.LastName != "Lovelace" || got.Locale != "de-AT" || got.TimeZone != "Europe/Vienna" {
			t.Errorf("the profile is %+v", got)
		}
		cleared := mustCall(b, subjects.UpdateUserProfile, subjects.UpdateUserProfileRequest{
			AvatarURL: subjects.Optional[string]{Set: true, Null: true},
		}, token)
		read := mustCall(b, subjects.GetUserProfile, subjects.Empty{}, token)
		if cleared.AvatarURL != "" || read.AvatarURL != "" || read.FirstName != "Augusta" {
			t.Errorf("after removing the picture the profile is %+v", read)
		}
		for field, req := range map[string]subjects.UpdateUserProfileRequest{
			"avatar_url": {AvatarURL: subjects.Some("http://example.com/a.png")},
			"locale":     {Locale: subjects.Some("not a tag")},
			"time_zone":  {TimeZone: subjects.Some("Local")},
		} {
			_, err := call(b, subjects.UpdateUserProfile, req, token)
			if e := requireCode(t, err, subjects.CodeInvalid); e.Fields[0].Field != field {
				t.Errorf("field is %s, want %s", e.Fields[0].Field, field)
			}
		}
	})
}

func TestGetContactRequiresTheNotificationActor(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	notification := b.Conn(t, "notification")
	as := mesh.As{Service: true, UserID: session.User.ID}
	contact, err := mesh.Call(t.Context(), notification, subjects.GetContact, subjects.Empty{}, as)
	if err != nil || contact.Email != "ada@example.com" || contact.UserID != session.User.ID {
		t.Errorf("got %+v, %v", contact, err)
	}
	as.UserID = actortest.User()
	_, err = mesh.Call(t.Context(), notification, subjects.GetContact, subjects.Empty{}, as)
	requireCode(t, err, subjects.CodeNotFound)
	_, err = call(b, subjects.GetContact, subjects.Empty{}, session.AccessToken)
	requireCode(t, err, subjects.CodeForbidden)
}

// TestValidateToken tests RFC 7662 §2.2.
func TestValidateToken(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	good := mustCall(b, subjects.ValidateToken, subjects.ValidateTokenRequest{Token: session.AccessToken}, "")
	if !good.Active || good.Subject != session.User.ID || good.SessionID != session.SessionID || good.Issuer != actortest.Issuer {
		t.Errorf("the status of a valid token is %+v", good)
	}
	tampered := session.AccessToken[:len(session.AccessToken)-4] + "AAAA"
	b.clock.advance(15 * time.Minute)
	for name, token := range map[string]string{
		"garbage": "x", "tampered": tampered, "ended": session.AccessToken, "a refresh token": session.RefreshToken,
	} {
		got := mustCall(b, subjects.ValidateToken, subjects.ValidateTokenRequest{Token: token}, "")
		if said, _ := json.Marshal(got); string(said) != `{"active":false}` {
			t.Errorf("%s: got %s", name, said)
		}
	}
}

func TestJWKSContainsTheSigningKey(t *testing.T) {
	b := onSQLite(t)
	session := b.signUp("ada@example.com")
	head, _, _ := strings.Cut(session.AccessToken, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Kid, Alg, Typ string }
	if err == nil {
		err = json.Unmarshal(raw, &header)
	}
	if err != nil || header.Alg != "EdDSA" || header.Typ != "at+jwt" {
		t.Fatalf("header is %s, %v", raw, err)
	}
	set := mustCall(b, subjects.JWKS, subjects.Empty{}, "")
	if len(set.Keys) != 2 || !slices.ContainsFunc(set.Keys, func(k subjects.JSONWebKey) bool { return k.KeyID == header.Kid }) {
		t.Errorf("the set is %+v, the token's key %s", set, header.Kid)
	}
}
