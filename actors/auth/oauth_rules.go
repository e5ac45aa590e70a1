package auth

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/subjects"
)

// oauthState is a pending authorization flow. The bucket auth_oauth_state stores it sealed, under a hash of the state.
type oauthState struct {
	Provider    string `json:"provider"`
	RedirectURI string `json:"redirect_uri"`
	Nonce       string `json:"nonce"`
	// Verifier is the PKCE code verifier.
	Verifier string `json:"verifier"`
	// Binding is the hash of a secret that the client keeps, a browser in a cookie.
	Binding   []byte    `json:"binding"`
	ExpiresAt time.Time `json:"expires_at"`
	// UserID and SessionID identify the user who links an identity; they are empty for a sign-in.
	UserID    string `json:"user_id,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	// Replaces is the session that the client had when the flow began.
	Replaces sessionRef `json:"replaces,omitzero"`
}

func (s oauthState) links() bool { return s.UserID != "" }

// admits reports whether a callback comes from the client, and for the provider, that began the flow, in time.
func (s oauthState) admits(provider, binding string, now time.Time) bool {
	return oauthstate.BindingIs(binding, s.Binding) && s.Provider == provider && now.Before(s.ExpiresAt)
}

// redirectURI returns the requested URI if it is exactly one of the configured ones (RFC 9700 §4.1.3), or the default
// if none is requested.
func (p OAuthProvider) redirectURI(asked string) (string, error) {
	if asked == "" {
		return p.RedirectURIs[0], nil
	}
	if !slices.Contains(p.RedirectURIs, asked) {
		return "", subjects.InvalidField("redirect_uri", "is not configured for this provider")
	}
	return asked, nil
}

// issuerMismatch applies RFC 9207 §2.4: iss must match the provider's issuer, and is required if the provider announces
// it.
func (e endpoints) issuerMismatch(came string) bool {
	if came == "" {
		return e.issuerInResponse
	}
	if before, after, template := strings.Cut(e.issuer, tenantPlaceholder); template {
		return !strings.HasPrefix(came, before) || !strings.HasSuffix(came, after)
	}
	return came != e.issuer
}

// providerAccount is an account at a provider, with its claims.
type providerAccount struct {
	Issuer, Subject string
	Email           string
	// EmailVerified is set if the provider has verified the address and is trusted to.
	EmailVerified             bool
	Name, FirstName, LastName string
	Picture, Locale, TimeZone string
}

// claims are those of an ID token or of a userinfo response.
type claims map[string]any

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// emailVerified reports whether the provider has verified the address. The claim is a boolean (OpenID Connect Core §5.1): a string
// such as "false" counts as unverified. Two kinds differ by their documentation: Apple may send the string "true"; Microsoft lets
// tenants set any address as email, so its own claim xms_edov is read, which may be a boolean, a number or a string.
func (c claims) emailVerified(kind string) bool {
	switch kind {
	case kindApple:
		return c["email_verified"] == true || c["email_verified"] == "true"
	case kindMicrosoft:
		v := c["xms_edov"]
		return v == true || v == "true" || v == "1" || v == float64(1)
	}
	return c["email_verified"] == true
}

// toAccount converts claims.
func (c claims) toAccount(kind, issuer, subject string) providerAccount {
	return providerAccount{
		Issuer: issuer, Subject: subject, Email: c.text("email"), EmailVerified: c.emailVerified(kind) && c.text("email") != "",
		Name: c.text("name"), FirstName: c.text("given_name"), LastName: c.text("family_name"),
		Picture: c.text("picture"), Locale: c.text("locale"), TimeZone: c.text("zoneinfo"),
	}
}

// Bounds of a provider's subject (OpenID Connect Core §2) and issuer, in bytes, and of names, in characters.
const (
	maxSubject   = 255
	maxIssuer    = 512
	maxNameRunes = 100
)

func (w providerAccount) valid() bool {
	return w.Subject != "" && len(w.Subject) <= maxSubject && w.Issuer != "" && len(w.Issuer) <= maxIssuer
}

// applyTo returns u with the provider's profile claims. Invalid claims are dropped: the user can enter them later.
func (w providerAccount) applyTo(u user) user {
	u.FirstName, u.LastName = truncateName(w.FirstName), truncateName(w.LastName)
	if u.FirstName == "" && u.LastName == "" {
		u.FirstName = truncateName(w.Name)
	}
	u.AvatarURL, u.Locale, u.TimeZone = "", defaultLocale, defaultTimeZone
	if picture, err := cleanAvatar(w.Picture); err == nil && len(picture) <= 2048 {
		u.AvatarURL = picture
	}
	if locale, err := cleanLocale(strings.ReplaceAll(w.Locale, "_", "-")); err == nil {
		u.Locale = locale
	}
	if zone, err := cleanTimeZone(w.TimeZone); err == nil {
		u.TimeZone = zone
	}
	return u
}

// truncateName returns a provider's name as an account may have it: without hidden characters, and at most maxNameRunes long.
func truncateName(s string) string {
	name, err := cleanName("name", s)
	if err != nil {
		name = visibleName(s)
	}
	if runes := []rune(name); len(runes) > maxNameRunes {
		name = string(runes[:maxNameRunes])
	}
	return name
}

// providerTokens are a provider's tokens for an account, as sealed.
type providerTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token,omitempty"`
	Type    string `json:"token_type,omitempty"`
	Scope   string `json:"scope,omitempty"`
}

func tokensOf(t *oauth2.Token) providerTokens {
	scope, _ := t.Extra("scope").(string)
	return providerTokens{Access: t.AccessToken, Refresh: t.RefreshToken, Type: t.TokenType, Scope: scope}
}

// expiresIn returns the lifetime of a token; 0 if the provider gives none.
func expiresIn(t *oauth2.Token) time.Duration {
	seconds := t.ExpiresIn
	switch v := t.Extra("expires_in").(type) {
	case int64:
		seconds = v
	case float64:
		seconds = int64(v)
	}
	return min(max(0, time.Duration(seconds)*time.Second), 365*24*time.Hour)
}

// refreshAt returns when to refresh a token: before its expiry, but not sooner than half its lifetime; zero for never.
func refreshAt(t *oauth2.Token, now time.Time, before time.Duration) time.Time {
	life := expiresIn(t)
	if t.RefreshToken == "" || life == 0 {
		return time.Time{}
	}
	return now.Add(max(life-before, life/2))
}

func errState() error {
	return subjects.InvalidField("state", "is unknown, used, expired or from another browser; begin again")
}

func errUntrusted(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnauthenticated, Detail: "the provider's response failed verification", Cause: cause,
	}
}

func errDisabled() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "this account cannot sign in")
}
