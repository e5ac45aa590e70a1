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
func (b *harness) link(op *openIDProvider, token, subject string) (subjects.Session, error) {
	b.t.Helper()
	start, err := call(b, subjects.LinkIdentity, subjects.LinkIdentityRequest{Provider: "corp"}, token)
	if err != nil {
		return subjects.Session{}, err
	}
	return call(b, subjects.CompleteOAuth, callback("corp", start, op.authorize(b.t, start.AuthorizationURL, subject)), "")
}

func unlink(b *harness, provider, token string) error {
	_, err := call(b, subjects.UnlinkIdentity, subjects.UnlinkIdentityRequest{Provider: provider}, token)
	return err
}

// signUpVerified registers an account, verifies its address and signs in.
func (b *harness) signUpVerified(box *mailbox, email string) subjects.Session {
	b.t.Helper()
	b.register(email)
	if err := verify(b, box.waitFor(email, verifySubject, 1).token(b.t)); err != nil {
		b.t.Fatal(err)
	}
	return b.login(email)
}

func TestUnverifiedProviderAddressIsRefused(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		_, free := b.oauthSignIn(op, "eve")
		b.register("ada@example.com")
		_, taken := b.oauthSignIn(op, "eve")
		if e, f := requireCode(t, free, subjects.CodeForbidden), requireCode(t, taken, subjects.CodeForbidden); e.Detail != f.Detail {
			t.Errorf("reply for a free address %q, for a taken one %q", e.Detail, f.Detail)
		}
		op.update(func() { op.people["eve"].Email = "" })
		_, err := b.oauthSignIn(op, "eve")
		requireCode(t, err, subjects.CodeForbidden)
		if n := b.metric("auth_registrations_total", ""); n != 1 {
			t.Errorf("%v accounts were created", n)
		}
		b.login("ada@example.com")
	})
}

func TestOnlyTheOwnerLinksAVerifiedAccount(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		box := b.mailbox()
		ada := b.signUpVerified(box, "ada@example.com")
		_, err := b.oauthSignIn(op, "ada")
		requireCode(t, err, subjects.CodeConflict)
		linked, err := b.link(op, ada.AccessToken, "ada")
		if err != nil {
			t.Fatal(err)
		}
		if linked.User.ID != ada.User.ID || b.mustOAuthSignIn(op, "ada").User.ID != ada.User.ID {
			t.Errorf("linked to %s, want %s", linked.User.ID, ada.User.ID)
		}
		if told := box.waitFor("ada@example.com", subjects.TemplateIdentityLinked, 1); !told.listed {
			t.Errorf("the notice cannot be listed")
		}
		b.login("ada@example.com")
		_, err = b.link(op, linked.AccessToken, "bob")
		requireCode(t, err, subjects.CodeConflict)
		grace := b.signUpVerified(box, "grace@example.com")
		_, err = b.link(op, grace.AccessToken, "ada")
		requireCode(t, err, subjects.CodeConflict)
		if got := b.mustOAuthSignIn(op, "ada"); got.User.ID != ada.User.ID {
			t.Errorf("the identity went to %s", got.User.Email)
		}
	})
}

func TestLinkingRequiresARecentLiveSession(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	box := b.mailbox()
	b.register("grace@example.com")
	_, err := b.link(op, b.login("grace@example.com").AccessToken, "bob")
	requireCode(t, err, subjects.CodeForbidden) // the address is not verified

	ada := b.signUpVerified(box, "ada@example.com")
	b.clock.advance(5*time.Minute + time.Second)
	_, err = b.link(op, ada.AccessToken, "ada")
	requireCode(t, err, subjects.CodeForbidden)
	renewed := mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: ada.RefreshToken}, "")
	_, err = b.link(op, renewed.AccessToken, "ada")
	requireCode(t, err, subjects.CodeForbidden) // a refresh is not a sign-in

	fresh := b.login("ada@example.com")
	start := mustCall(b, subjects.LinkIdentity, subjects.LinkIdentityRequest{Provider: "corp"}, fresh.AccessToken)
	query := op.authorize(t, start.AuthorizationURL, "ada")
	attacker := callback("corp", start, query)
	attacker.Binding = b.initiateOAuth("corp").Binding
	_, err = call(b, subjects.CompleteOAuth, attacker, "")
	requireCode(t, err, subjects.CodeInvalid)
	mustCall(b, subjects.Logout, subjects.LogoutRequest{}, fresh.AccessToken)
	_, err = call(b, subjects.CompleteOAuth, callback("corp", start, query), "")
	requireCode(t, err, subjects.CodeInvalid)
	if list := mustCall(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, b.login("ada@example.com").AccessToken); len(list.Items) != 0 {
		t.Errorf("the identities are %+v", list.Items)
	}
}

func TestUnlinkIdentity(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		box := b.mailbox()
		ada := b.signUpVerified(box, "ada@example.com")
		requireCode(t, unlink(b, "corp", ada.AccessToken), subjects.CodeNotFound)
		byProvider, err := b.link(op, ada.AccessToken, "ada")
		if err != nil {
			t.Fatal(err)
		}
		b.clock.advance(5*time.Minute + time.Second)
		requireCode(t, unlink(b, "corp", byProvider.AccessToken), subjects.CodeForbidden)
		mine := b.login("ada@example.com")
		if err := unlink(b, "corp", mine.AccessToken); err != nil {
			t.Fatal(err)
		}
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, mine.AccessToken)
		mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: mine.RefreshToken}, "")
		_, err = call(b, subjects.GetUserProfile, subjects.Empty{}, byProvider.AccessToken)
		requireCode(t, err, subjects.CodeUnauthenticated)
		box.waitFor("ada@example.com", subjects.TemplateIdentityUnlinked, 1)
		_, err = b.oauthSignIn(op, "ada")
		requireCode(t, err, subjects.CodeConflict)
	})
}

func TestLastIdentityCannotBeUnlinkedWithoutPassword(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		hub := gitHubOf(b.config)
		first := b.mustOAuthSignIn(op, "ada")
		requireCode(t, unlink(b, "corp", first.AccessToken), subjects.CodeConflict)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, first.AccessToken)
		start := mustCall(b, subjects.LinkIdentity, subjects.LinkIdentityRequest{Provider: "github"}, first.AccessToken)
		first = mustCall(b, subjects.CompleteOAuth, callback("github", start, hub.authorize(start.AuthorizationURL)), "")
		both := []string{"corp", "github"}
		passed := 0
		for _, err := range concurrently(2, func(i int) error { return unlink(b, both[i], first.AccessToken) }) {
			if err == nil {
				passed++
				continue
			}
			requireCode(t, err, subjects.CodeConflict)
		}
		list := mustCall(b, subjects.ListIdentities, subjects.ListIdentitiesRequest{}, first.AccessToken).Items
		if passed != 1 || len(list) != 1 {
			t.Errorf("%d of two identities were removed, want 1; left: %+v", passed, list)
		}
	}, withGitHub)
}

func TestConcurrentRemovalsKeepOneCredential(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		s := b.mustOAuthSignIn(op, "ada")
		_, key := b.addPasskey(s.AccessToken)
		removals := []func() error{
			func() error { return unlink(b, "corp", s.AccessToken) },
			func() error { return deletePasskey(b, s.AccessToken, key.ID) },
		}
		if n := countPassed(t, subjects.CodeConflict, concurrently(2, func(i int) error { return removals[i]() })); n != 1 {
			t.Errorf("%d of two credentials were removed, want 1", n)
		}
	})
}

// TestProviderSignInEvictsAttacker: an attacker registers somebody's address before its owner signs in at a provider.
func TestProviderSignInEvictsAttacker(t *testing.T) {
	onEachDatabaseWithProvider(t, func(t *testing.T, b *harness, op *openIDProvider) {
		b.answerErasures()
		box := b.mailbox()
		mustCall(b, subjects.Register, subjects.RegisterRequest{
			Email: "ada@example.com", Password: "the attacker's password", FirstName: "Mallory", LastName: "M",
		}, "")
		attacker := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "the attacker's password"}, "")
		key := mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
			Name: "mine", Scopes: []string{subjects.ScopeUserProfileRead},
		}, attacker.AccessToken)
		short, err := exchange(b, key.Key)
		if err != nil {
			t.Fatal(err)
		}
		verification := box.waitFor("ada@example.com", verifySubject, 1).token(t)
		mustCall(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: "ada@example.com"}, "")
		reset := box.waitFor("ada@example.com", resetSubject, 1).token(t)
		mustCall(b, subjects.ChangeEmail, subjects.ChangeEmailRequest{Email: "mallory@example.com", Password: "the attacker's password"}, attacker.AccessToken)
		moved := box.waitFor("mallory@example.com", verifySubject, 1).token(t)

		owner := b.mustOAuthSignIn(op, "ada")
		if owner.User.FirstName != "Ada" || owner.User.LastName != "King" || !owner.User.EmailVerified {
			t.Errorf("the owner's account is %+v", owner.User)
		}
		for what, try := range map[string]func() error{
			"the access token": func() error {
				_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, attacker.AccessToken)
				return err
			},
			"the refresh token": func() error {
				_, err := call(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: attacker.RefreshToken}, "")
				return err
			},
			"the password": func() error {
				_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "ada@example.com", Password: "the attacker's password"}, "")
				return err
			},
			"the API key": func() error { _, err := exchange(b, key.Key); return err },
			"the API key's token": func() error {
				_, err := call(b, subjects.GetUserProfile, subjects.Empty{}, short.AccessToken)
				return err
			},
		} {
			if err := try(); subjects.CodeOf(err) != subjects.CodeUnauthenticated {
				t.Errorf("%s is still valid: %v", what, err)
			}
		}
		for what, token := range map[string]string{"the verification": verification, "the change of address": moved} {
			if err := verify(b, token); subjects.CodeOf(err) != subjects.CodeInvalid {
				t.Errorf("%s is still valid: %v", what, err)
			}
		}
		_, err = call(b, subjects.ResetPassword, subjects.ResetPasswordRequest{Token: reset, Password: "a wholly new one"}, "")
		requireCode(t, err, subjects.CodeInvalid)
		mustCall(b, subjects.GetUserProfile, subjects.Empty{}, owner.AccessToken)
		box.waitFor("ada@example.com", subjects.TemplateAccountClaimed, 1)
		if again := b.mustOAuthSignIn(op, "ada"); again.User.ID != owner.User.ID {
			t.Errorf("the owner signed in to %s and then to %s", owner.User.ID, again.User.ID)
		}
	})
}

func TestDisabledAccountCannotSignInAtAProvider(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	ada := b.mustOAuthSignIn(op, "ada")
	yes := true
	admin := b.Token(t, actortest.User(), actortest.WithRoles(subjects.RoleUser, subjects.RoleAdmin))
	mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: ada.User.ID, Disabled: &yes}, admin)
	_, err := b.oauthSignIn(op, "ada")
	requireCode(t, err, subjects.CodeUnauthenticated)
	b.register("bob@example.com")
	bob := b.login("bob@example.com")
	mustCall(b, subjects.UpdateUser, subjects.UpdateUserRequest{UserID: bob.User.ID, Disabled: &yes}, admin)
	_, err = b.oauthSignIn(op, "bob")
	requireCode(t, err, subjects.CodeUnauthenticated)
}

func TestSecondFactorAfterProviderSignIn(t *testing.T) {
	b, op := onSQLiteWithProvider(t)
	box := b.mailbox()
	ada := b.signUpVerified(box, "ada@example.com")
	ada, err := b.link(op, ada.AccessToken, "ada")
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := b.enableTOTP(ada.AccessToken)
	due := b.mustOAuthSignIn(op, "ada")
	if due.MFAToken == "" || due.AccessToken != "" || due.RefreshToken != "" {
		t.Fatalf("a second factor is due, got %+v", due)
	}
	b.clock.advance(time.Minute)
	s, err := verifyMFA(b, due.MFAToken, codeAt(t, secret, b.clock.now()))
	if err != nil || s.User.ID != ada.User.ID {
		t.Fatalf("signed in as %s, %v", s.User.ID, err)
	}
	if n := b.metric("auth_oauth_logins_total", "mfa_required"); n != 1 {
		t.Errorf("%v sign-ins were counted", n)
	}
}

func TestInvalidOAuthSettings(t *testing.T) {
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
		"credentials in the issuer": func(p *auth.OAuthProvider) {
			p.Issuer = (&url.URL{Scheme: "https", User: url.User("u"), Host: "id.example"}).String()
		},
	} {
		p := good
		change(&p)
		if err := auth.CheckOAuth(map[string]auth.OAuthProvider{"corp": p}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := auth.CheckOAuth(map[string]auth.OAuthProvider{"corp": good, "google": {ClientID: "c", RedirectURIs: good.RedirectURIs}}); err != nil {
		t.Error(err)
	}
	if err := auth.CheckOAuth(map[string]auth.OAuthProvider{"Corp/..": good}); err == nil {
		t.Errorf("an invalid provider ID is accepted")
	}
}
