package auth_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

// link links a provider's account to the caller's.
func (b *bench) link(op *issuer, token, subject string) (subjects.Session, error) {
	b.t.Helper()
	start, err := call(b, subjects.LinkIdentity, subjects.LinkIdentityRequest{Provider: "corp"}, token)
	if err != nil {
		return subjects.Session{}, err
	}
	return call(b, subjects.CompleteOAuth, back("corp", start, op.visit(b.t, start.AuthorizationURL, subject)), "")
}

func unlink(b *bench, provider, token string) error {
	_, err := call(b, subjects.UnlinkIdentity, subjects.UnlinkIdentityRequest{Provider: provider}, token)
	return err
}

// verified registers, verifies and signs in.
func (b *bench) verified(box *mailbox, email string) subjects.Session {
	b.t.Helper()
	b.register(email)
	if err := verify(b, box.wait(email, verifySubject, 1).token(b.t)); err != nil {
		b.t.Fatal(err)
	}
	return b.login(email)
}

func TestAnAddressThatTheProviderDoesNotVouchFor(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		_, free := b.at(op, "eve")
		b.register("ada@example.com")
		_, taken := b.at(op, "eve")
		if e, f := refused(t, free, subjects.CodeForbidden), refused(t, taken, subjects.CodeForbidden); e.Detail != f.Detail {
			t.Errorf("a free address answers %q, a taken one %q", e.Detail, f.Detail)
		}
		op.set(func() { op.people["eve"].Email = "" })
		_, err := b.at(op, "eve")
		refused(t, err, subjects.CodeForbidden)
		if n := b.metric("auth_registrations_total", ""); n != 1 {
			t.Errorf("%v accounts were opened", n)
		}
		b.login("ada@example.com")
	})
}

func TestAVerifiedAccountIsLinkedByItsOwnerAlone(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		box := b.mailbox()
		ada := b.verified(box, "ada@example.com")
		_, err := b.at(op, "ada")
		refused(t, err, subjects.CodeConflict)
		linked, err := b.link(op, ada.AccessToken, "ada")
		if err != nil {
			t.Fatal(err)
		}
		if linked.User.ID != ada.User.ID || b.signedInAt(op, "ada").User.ID != ada.User.ID {
			t.Errorf("linked to %s, want %s", linked.User.ID, ada.User.ID)
		}
		if told := box.wait("ada@example.com", "A sign-in was linked to your account", 1); !told.listed {
			t.Errorf("the notice cannot be listed")
		}
		b.login("ada@example.com")
		_, err = b.link(op, linked.AccessToken, "bob")
		refused(t, err, subjects.CodeConflict)
		grace := b.verified(box, "grace@example.com")
		_, err = b.link(op, grace.AccessToken, "ada")
		refused(t, err, subjects.CodeConflict)
		if got := b.signedInAt(op, "ada"); got.User.ID != ada.User.ID {
			t.Errorf("the identity went to %s", got.User.Email)
		}
	})
}

func TestLinkingNeedsAFreshLoginThatLives(t *testing.T) {
	b, op := onceWith(t)
	box := b.mailbox()
	b.register("grace@example.com")
	_, err := b.link(op, b.login("grace@example.com").AccessToken, "bob")
	refused(t, err, subjects.CodeForbidden) // nobody has verified the address

	ada := b.verified(box, "ada@example.com")
	b.clock.forward(5*time.Minute + time.Second)
	_, err = b.link(op, ada.AccessToken, "ada")
	refused(t, err, subjects.CodeForbidden)
	renewed := must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
	_, err = b.link(op, renewed.AccessToken, "ada")
	refused(t, err, subjects.CodeForbidden) // a refresh is no login

	fresh := b.login("ada@example.com")
	start := must(b, subjects.LinkIdentity, subjects.LinkIdentityRequest{Provider: "corp"}, fresh.AccessToken)
	query := op.visit(t, start.AuthorizationURL, "ada")
	stranger := back("corp", start, query)
	stranger.Binding = b.begin("corp").Binding
	_, err = call(b, subjects.CompleteOAuth, stranger, "")
	refused(t, err, subjects.CodeInvalid)
	must(b, subjects.Logout, subjects.LogoutRequest{}, fresh.AccessToken)
	_, err = call(b, subjects.CompleteOAuth, back("corp", start, query), "")
	refused(t, err, subjects.CodeInvalid)
	if list := must(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, b.login("ada@example.com").AccessToken); len(list.Items) != 0 {
		t.Errorf("the identities are %+v", list.Items)
	}
}

func TestUnlinking(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		box := b.mailbox()
		ada := b.verified(box, "ada@example.com")
		refused(t, unlink(b, "corp", ada.AccessToken), subjects.CodeNotFound)
		byProvider, err := b.link(op, ada.AccessToken, "ada")
		if err != nil {
			t.Fatal(err)
		}
		b.clock.forward(5*time.Minute + time.Second)
		refused(t, unlink(b, "corp", byProvider.AccessToken), subjects.CodeForbidden)
		mine := b.login("ada@example.com")
		if err := unlink(b, "corp", mine.AccessToken); err != nil {
			t.Fatal(err)
		}
		must(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		must(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: mine.RefreshToken}, "")
		_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, byProvider.AccessToken)
		refused(t, err, subjects.CodeUnauthenticated)
		box.wait("ada@example.com", "A sign-in was removed from your account", 1)
		_, err = b.at(op, "ada")
		refused(t, err, subjects.CodeConflict)
	})
}

func TestTheLastWayInStays(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		hub := gitHubs(b.config)
		first := b.signedInAt(op, "ada")
		refused(t, unlink(b, "corp", first.AccessToken), subjects.CodeConflict)
		must(b, subjects.GetUserProfile, subjects.Empty{}, first.AccessToken)
		start := must(b, subjects.LinkIdentity, subjects.LinkIdentityRequest{Provider: "github"}, first.AccessToken)
		first = must(b, subjects.CompleteOAuth, back("github", start, hub.visit(start.AuthorizationURL)), "")
		both := []string{"corp", "github"}
		passed := 0
		for _, err := range together(2, func(i int) error { return unlink(b, both[i], first.AccessToken) }) {
			if err == nil {
				passed++
				continue
			}
			refused(t, err, subjects.CodeConflict)
		}
		list := must(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, first.AccessToken).Items
		if passed != 1 || len(list) != 1 {
			t.Errorf("%d of two were removed, left are %+v", passed, list)
		}
	}, withGitHub)
}

func TestAPasskeyIsAWayInBesideAnIdentityAndBothMayNotGo(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		s := b.signedInAt(op, "ada")
		_, key := b.withPasskey(s.AccessToken)
		removals := []func() error{
			func() error { return unlink(b, "corp", s.AccessToken) },
			func() error { return deletePasskey(b, s.AccessToken, key.ID) },
		}
		if n := passed(t, subjects.CodeConflict, together(2, func(i int) error { return removals[i]() })); n != 1 {
			t.Errorf("%d of two ways in were removed", n)
		}
	})
}

// TestNobodyLiesInWait: a stranger opens an account with somebody's address and waits for them to come.
func TestNobodyLiesInWait(t *testing.T) {
	onBothWith(t, func(t *testing.T, b *bench, op *issuer) {
		box := b.mailbox()
		must(b, subjects.Register, subjects.RegisterRequest{
			Email: "ada@example.com", Password: "the stranger's own", FirstName: "Mallory", LastName: "M",
		}, "")
		stranger := must(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "the stranger's own"}, "")
		key := must(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "mine", Scopes: []string{subjects.ScopeUserProfileRead},
		}, stranger.AccessToken)
		short, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		letter := box.wait("ada@example.com", verifySubject, 1).token(t)
		must(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: "ada@example.com"}, "")
		reset := box.wait("ada@example.com", resetSubject, 1).token(t)
		must(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{Email: "mallory@example.com", Password: "the stranger's own"}, stranger.AccessToken)
		moved := box.wait("mallory@example.com", verifySubject, 1).token(t)

		owner := b.signedInAt(op, "ada")
		if owner.User.FirstName != "Ada" || owner.User.LastName != "King" || !owner.User.EmailVerified {
			t.Errorf("the owner's account is %+v", owner.User)
		}
		for what, try := range map[string]func() error{
			"the access token": func() error {
				_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, stranger.AccessToken)
				return err
			},
			"the refresh token": func() error {
				_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: stranger.RefreshToken}, "")
				return err
			},
			"the password": func() error {
				_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "the stranger's own"}, "")
				return err
			},
			"the API key": func() error { _, err := exchange(b, key.Key); return err },
			"the API key's token": func() error {
				_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, short.AccessToken)
				return err
			},
		} {
			if err := try(); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
				t.Errorf("%s is still good: %v", what, err)
			}
		}
		for what, token := range map[string]string{"the verification": letter, "the change of address": moved} {
			if err := verify(b, token); subjects.CodeOf(err) != subjects.CodeInvalid {
				t.Errorf("%s is still good: %v", what, err)
			}
		}
		_, err = call(b, subjects.ResetPassword, subjects.ResetPasswordRequest{Token: reset, Password: "a wholly new one"}, "")
		refused(t, err, subjects.CodeInvalid)
		must(b, subjects.GetUserProfile, subjects.Empty{}, owner.AccessToken)
		box.wait("ada@example.com", "Your account is yours alone", 1)
		if again := b.signedInAt(op, "ada"); again.User.ID != owner.User.ID {
			t.Errorf("the owner came to %s and then to %s", owner.User.ID, again.User.ID)
		}
	})
}

func TestADisabledAccountStaysShut(t *testing.T) {
	b, op := onceWith(t)
	ada := b.signedInAt(op, "ada")
	yes := true
	admin := b.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))
	must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &yes}, admin)
	_, err := b.at(op, "ada")
	refused(t, err, subjects.CodeUnauthenticated)
	b.register("bob@example.com")
	bob := b.login("bob@example.com")
	must(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: bob.User.ID, Disabled: &yes}, admin)
	_, err = b.at(op, "bob")
	refused(t, err, subjects.CodeUnauthenticated)
}

func TestASecondFactorIsDueAfterAProvider(t *testing.T) {
	b, op := onceWith(t)
	box := b.mailbox()
	ada := b.verified(box, "ada@example.com")
	ada, err := b.link(op, ada.AccessToken, "ada")
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := b.withTOTP(ada.AccessToken)
	due := b.signedInAt(op, "ada")
	if due.MFAToken == "" || due.AccessToken != "" || due.RefreshToken != "" {
		t.Fatalf("a second factor is due, the answer is %+v", due)
	}
	b.clock.forward(time.Minute)
	s, err := second(b, due.MFAToken, codeAt(t, secret, b.clock.now()))
	if err != nil || s.User.ID != ada.User.ID {
		t.Fatalf("signed in as %s, %v", s.User.ID, err)
	}
	if n := b.metric("auth_oauth_logins_total", "mfa_required"); n != 1 {
		t.Errorf("%v were counted", n)
	}
}

func TestOAuthSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	good := auth.OAuthProvider{Issuer: "https://id.example", ClientID: "c", RedirectURIs: []string{redirectURI}}
	for name, change := range map[string]func(*auth.OAuthProvider){
		"no client":   func(p *auth.OAuthProvider) { p.ClientID = "" },
		"no issuer":   func(p *auth.OAuthProvider) { p.Issuer = "" },
		"no redirect": func(p *auth.OAuthProvider) { p.RedirectURIs = nil },
		"kind":        func(p *auth.OAuthProvider) { p.Kind = "saml" },
		"wildcard":    func(p *auth.OAuthProvider) { p.RedirectURIs = []string{"https://*.example/"} },
		"plain http":  func(p *auth.OAuthProvider) { p.RedirectURIs = []string{"http://app.example/"} },
		"fragment":    func(p *auth.OAuthProvider) { p.RedirectURIs = []string{redirectURI + "#x"} },
		"script":      func(p *auth.OAuthProvider) { p.RedirectURIs = []string{"javascript:alert(1)"} },
		"issuer's user": func(p *auth.OAuthProvider) {
			p.Issuer = (&url.URL{Scheme: "https", User: url.User("u"), Host: "id.example"}).String()
		},
	} {
		p := good
		change(&p)
		if err := auth.CheckOAuth(map[string]auth.OAuthProvider{"corp": p}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := auth.CheckOAuth(map[string]auth.OAuthProvider{"corp": good, "google": {ClientID: "c", RedirectURIs: good.RedirectURIs}}); err != nil {
		t.Error(err)
	}
	if err := auth.CheckOAuth(map[string]auth.OAuthProvider{"Corp/..": good}); err == nil {
		t.Errorf("any id is taken")
	}
}
