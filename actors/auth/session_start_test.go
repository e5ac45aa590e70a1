package auth_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// wayIn signs in, with the access token of an earlier session beside its first call or its last; of those that calls counts
// each is tried.
type wayIn struct {
	name   string
	calls  int
	signIn func(first, last string) (subjects.Session, error)
}

// waysIn opens accounts and says how each is signed in to.
func (b *bench) waysIn(op *issuer) []wayIn {
	b.t.Helper()
	b.members("ada@example.com", "grace@example.com", "key@example.com")
	secret, _ := b.withTOTP(b.login("grace@example.com").AccessToken)
	key, _ := b.withPasskey(b.login("key@example.com").AccessToken)
	bobs := b.withTOTPAtProvider(op, "bob")
	verify := func(pending subjects.Session, secret, token string) (subjects.Session, error) {
		b.clock.forward(time.Minute) // a code is good once
		req := subjects.VerifyMFARequest{MFAToken: pending.MFAToken, Code: codeAt(b.t, secret, b.Now())}
		return call(b, subjects.VerifyMFA, req, token)
	}
	provider := func(who, first, last string) (subjects.Session, error) {
		start := must(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, first)
		return call(b, subjects.CompleteOAuth, back("corp", start, op.visit(b.t, start.AuthorizationURL, who)), last)
	}
	login := func(email, token string) (subjects.Session, error) {
		return call(b, subjects.Login, subjects.LoginRequest{Email: email, Password: goodPassword}, token)
	}
	return []wayIn{
		{"password", 1, func(first, _ string) (subjects.Session, error) { return login("ada@example.com", first) }},
		{"password and code", 2, func(first, last string) (subjects.Session, error) {
			pending, err := login("grace@example.com", first)
			if err != nil {
				return pending, err
			}
			return verify(pending, secret, last)
		}},
		{"passkey", 2, func(first, last string) (subjects.Session, error) {
			c := must(b, subjects.BeginPasskeyLogin, subjects.Empty{}, first)
			return call(b, subjects.FinishPasskeyLogin, subjects.FinishPasskeyLoginRequest{
				CeremonyID: c.CeremonyID, Credential: key.prove(b.t, c),
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

// withTOTPAtProvider opens an account by a provider's word and turns a second factor on.
func (b *bench) withTOTPAtProvider(op *issuer, subject string) (secret string) {
	b.t.Helper()
	token := b.signedInAt(op, subject).AccessToken
	enrolled := must(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{}, token)
	must(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(b.t, enrolled.Secret, b.Now())}, token)
	return enrolled.Secret
}

// TestASignInEndsTheSessionThatItReplaces, whichever of its calls the access token comes with, and whosever the session is
// (OWASP ASVS 5.0, 7.2.4).
func TestASignInEndsTheSessionThatItReplaces(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		op.set(func() { op.people["new"] = person("new", "new@example.com", true) })
		ways := b.waysIn(op)
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
				b.isOver(old)
				if !b.lives(s, other) {
					t.Errorf("%s: the new session does not live", way.name)
				}
				if _, err := way.signIn("", ""); err != nil || !b.lives(s, other) {
					t.Errorf("%s: without a token another session ended, or %v", way.name, err)
				}
				ended[old.SessionID] = "replaced"
			}
		}
		eventually(t, "the ends are told", func() bool {
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
		eventually(t, "the ends are in the audit", func() bool { return b.audits(t, eve, "session_end", "success") == len(ended) })
	})
}

// TestALinkingEndsTheSessionThatBeganIt, as any sign-in does that a session comes along with.
func TestALinkingEndsTheSessionThatBeganIt(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		b.members("ada@example.com")
		ada, other := b.login("ada@example.com"), b.login("ada@example.com")
		linked, err := b.link(op, ada.AccessToken, "ada")
		if err != nil {
			t.Fatal(err)
		}
		b.isOver(ada)
		if !b.lives(linked, other) {
			t.Error("the new session does not live")
		}
	})
}

func TestASignInThatFailsEndsNothing(t *testing.T) {
	b, _ := onceWith(t)
	b.members("ada@example.com", "grace@example.com", "eve@example.com")
	b.withTOTP(b.login("grace@example.com").AccessToken)
	key, _ := b.withPasskey(b.login("ada@example.com").AccessToken)
	old := b.login("eve@example.com")
	pending := must(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: goodPassword}, old.AccessToken)
	ceremony := must(b, subjects.BeginPasskeyLogin, subjects.Empty{}, old.AccessToken)
	start := must(b, subjects.InitiateOAuth, subjects.InitiateOAuthRequest{Provider: "corp"}, old.AccessToken)
	stale := key.prove(t, b.beginPasskeyLogin())
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
		"a provider that says no": func() error {
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
	must(b, subjects.GetUserProfile, subjects.Empty{}, old.AccessToken)
	must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: old.RefreshToken}, "")
}

// TestATokenThatIsNoSessionsIsNothingToASignIn: it neither hinders nor is spoken of, and an API key's goes on.
func TestATokenThatIsNoSessionsIsNothingToASignIn(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ada := b.signedUp("ada@example.com")
		key := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
		}, ada.AccessToken)
		program, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		must(b, subjects.Logout, subjects.LogoutRequest{}, ada.AccessToken)
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
				t.Errorf("%s: the answer is %+v, without a token %+v", name, s, want)
			}
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, program.AccessToken)
		must(b, subjects.GetUserProfile, subjects.Empty{}, want.AccessToken)
		b.clock.forward(15 * time.Minute)
		must(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, want.AccessToken)
		must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: want.RefreshToken}, "")
	})
}

// TestASessionThatIsReplacedMakesRoom: who may have one session has it end once, and for the right reason.
func TestASessionThatIsReplacedMakesRoom(t *testing.T) {
	b := once(t, func(c *auth.Config) { c.SessionsPerUser = 2 })
	kept, old := b.signedUp("ada@example.com"), b.login("ada@example.com")
	s := must(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: goodPassword}, old.AccessToken)
	b.isOver(old)
	if !b.lives(kept, s) {
		t.Error("the oldest session ended")
	}
}
