package auth_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// signInMethod signs in. The access token of an earlier session comes with the first or the last call; calls is the
// number of these cases to test.
type signInMethod struct {
	name   string
	calls  int
	signIn func(first, last string) (subjects.Session, error)
}

// signInMethods creates accounts and returns the ways to sign in to them.
func (b *harness) signInMethods(op *openIDProvider) []signInMethod {
	b.t.Helper()
	b.addVerified("ada@example.com", "grace@example.com", "key@example.com")
	secret, _ := b.enableTOTP(b.login("grace@example.com").AccessToken)
	key, _ := b.addPasskey(b.login("key@example.com").AccessToken)
	bobs := b.enableTOTPAtProvider(op, "bob")
	verify := func(pending subjects.Session, secret, token string) (subjects.Session, error) {
		b.clock.advance(time.Minute) // a code is valid once
		req := subjects.VerifyMFARequest{MFAToken: pending.MFAToken, Code: codeAt(b.t, secret, b.Now())}
		return call(b, subjects.VerifyMFA, req, token)
	}
	provider := func(who, first, last string) (subjects.Session, error) {
		start := mustCall(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, first)
		return call(b, subjects.CompleteOAuth, callback("corp", start, op.authorize(b.t, start.AuthorizationURL, who)), last)
	}
	login := func(email, token string) (subjects.Session, error) {
		return call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: goodPassword}, token)
	}
	return []signInMethod{
		{"password", 1, func(first, _ string) (subjects.Session, error) { return login("ada@example.com", first) }},
		{"password and code", 2, func(first, last string) (subjects.Session, error) {
			pending, err := login("grace@example.com", first)
			if err != nil {
				return pending, err
			}
			return verify(pending, secret, last)
		}},
		{"passkey", 2, func(first, last string) (subjects.Session, error) {
			c := mustCall(b, subjects.BeginPasskeyLogin, subjects.Empty{}, first)
			return call(b, subjects.FinishPasskeyLogin, subjects.FinishPasskeyLoginRequest{
				CeremonyID: c.CeremonyID, Credential: key.assert(b.t, c),
			}, last)
		}},
		{"provider", 2, func(first, last string) (subjects.Session, error) { return provider("new", first, last) }},
		{"provider and code, from the first call", 2, func(first, last string) (subjects.Session, error) {
			pending, err := provider("bob", first, "")
			if err != nil {
				return pending, err
			}
			return verify(pending, bobs, last)
		}},
		{"provider and code, from the second call", 1, func(first, _ string) (subjects.Session, error) {
			pending, err := provider("bob", "", first)
			if err != nil {
				return pending, err
			}
			return verify(pending, bobs, "")
		}},
	}
}

// enableTOTPAtProvider creates an account at a provider and sets up an authenticator.
func (b *harness) enableTOTPAtProvider(op *openIDProvider, subject string) (secret string) {
	b.t.Helper()
	token := b.mustOAuthSignIn(op, subject).AccessToken
	enrolled := mustCall(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{}, token)
	mustCall(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(b.t, enrolled.Secret, b.Now())}, token)
	return enrolled.Secret
}

// TestSignInReplacesTheSession: the session of the access token ends, whichever call of the sign-in it comes with and
// whichever account it belongs to (OWASP ASVS 5.0, 7.2.4).
func TestSignInReplacesTheSession(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		op.update(func() { op.people["new"] = person("new", "new@example.com", true) })
		ways := b.signInMethods(op)
		b.register("eve@example.com")
		ended := map[string]string{}
		for _, way := range ways {
			for call := range way.calls {
				var tokens [2]string
				old, other := b.login("eve@example.com"), b.login("eve@example.com")
				tokens[call] = old.AccessToken
				s, err := way.signIn(tokens[0], tokens[1])
				if err != nil || s.AccessToken == "" {
					t.Fatalf("%s: %+v, %v", way.name, s, err)
				}
				b.requireEnded(old)
				if !b.isLive(s, other) {
					t.Errorf("%s: the new session is not live", way.name)
				}
				if _, err := way.signIn("", ""); err != nil || !b.isLive(s, other) {
					t.Errorf("%s: without a token: another session ended, or error %v", way.name, err)
				}
				ended[old.SessionID] = "replaced"
			}
		}
		eventually(t, "the ends are published", func() bool {
			told := map[string]string{}
			for _, e := range actortest.Events[subjects.SessionEnded](t, b.Mesh, subjects.SessionEndedEvent.Subject) {
				if _, ok := ended[e.Data.SessionID]; ok {
					told[e.Data.SessionID] = e.Data.Reason
				}
			}
			for id, reason := range ended {
				if told[id] != reason {
					return false
				}
			}
			return true
		})
		eve := b.login("eve@example.com").User.ID
		eventually(t, "the ends are audited", func() bool { return b.countAudits(t, eve, "session_end", "success") == len(ended) })
	})
}

// TestLinkingReplacesTheSession: linking an identity ends the session that began it, like any sign-in.
func TestLinkingReplacesTheSession(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		b.addVerified("ada@example.com")
		ada, other := b.login("ada@example.com"), b.login("ada@example.com")
		linked, err := b.link(op, ada.AccessToken, "ada")
		if err != nil {
			t.Fatal(err)
		}
		b.requireEnded(ada)
		if !b.isLive(linked, other) {
			t.Error("the new session does not live")
		}
	})
}

func TestFailedSignInEndsNoSession(t *testing.T) {
	b, _ := onSQLiteWithProvider(t)
	b.addVerified("ada@example.com", "grace@example.com", "eve@example.com")
	b.enableTOTP(b.login("grace@example.com").AccessToken)
	key, _ := b.addPasskey(b.login("ada@example.com").AccessToken)
	old := b.login("eve@example.com")
	pending := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: goodPassword}, old.AccessToken)
	ceremony := mustCall(b, subjects.BeginPasskeyLogin, subjects.Empty{}, old.AccessToken)
	start := mustCall(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, old.AccessToken)
	stale := key.assert(t, b.beginPasskeyLogin())
	for name, fail := range map[string]func() error{
		"a wrong password": func() error {
			_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "wrong wrong"}, old.AccessToken)
			return err
		},
		"a wrong code": func() error {
			_, err := call(b, subjects.VerifyMFA, subjects.VerifyMFARequest{MFAToken: pending.MFAToken, Code: "00000000"}, old.AccessToken)
			return err
		},
		"another challenge": func() error {
			_, err := call(b, subjects.FinishPasskeyLogin, subjects.FinishPasskeyLoginRequest{
				CeremonyID: ceremony.CeremonyID, Credential: stale,
			}, old.AccessToken)
			return err
		},
		"a refusal by the provider": func() error {
			_, err := call(b, subjects.CompleteOAuth, subjects.CompleteOAuthRequest{
				Provider: "corp", State: start.State, Binding: start.Binding, Error: "access_denied",
			}, old.AccessToken)
			return err
		},
	} {
		if err := fail(); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustCall(b, subjects.GetUserProfile, subjects.Empty{}, old.AccessToken)
	mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: old.RefreshToken}, "")
}

// TestSignInIgnoresOtherTokens: an invalid token does not prevent a sign-in or change its reply, and an API key's token
// stays valid.
func TestSignInIgnoresOtherTokens(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, b *harness) {
		ada := b.signUp("ada@example.com")
		key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
		}, ada.AccessToken)
		program, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		mustCall(b, subjects.Logout, subjects.LogoutRequest{}, ada.AccessToken)
		want := b.login("ada@example.com")
		for name, token := range map[string]string{
			"garbage": "x", "tampered": want.AccessToken[:len(want.AccessToken)-4] + "AAAA", "ended": ada.AccessToken,
			"a refresh token": want.RefreshToken, "an API key's": program.AccessToken,
		} {
			s, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, token)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			s.AccessToken, s.RefreshToken, s.SessionID, s.DeviceToken = want.AccessToken, want.RefreshToken, want.SessionID, want.DeviceToken
			if !reflect.DeepEqual(s, want) {
				t.Errorf("%s: got %+v, want %+v as without a token", name, s, want)
			}
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, program.AccessToken)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, want.AccessToken)
		b.clock.advance(15 * time.Minute)
		mustCall(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, want.AccessToken)
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: want.RefreshToken}, "")
	})
}

// TestReplacedSessionDoesNotCountTowardsLimit: the replaced session ends once, as replaced, and no other session ends.
func TestReplacedSessionDoesNotCountTowardsLimit(t *testing.T) {
	b := onSQLite(t, func(c *auth.Config) { c.SessionsPerUser = 2 })
	kept, old := b.signUp("ada@example.com"), b.login("ada@example.com")
	s := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, old.AccessToken)
	b.requireEnded(old)
	if !b.isLive(kept, s) {
		t.Error("the oldest session ended")
	}
}
