package auth

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/subjects"
)

// oauthState is a sign-in under way. The bucket auth_oauth_state keeps it sealed, under a hash of the state.
type oauthState struct {
	Provider    string `json:"provider"`
	RedirectURI string `json:"redirect_uri"`
	Nonce       string `json:"nonce"`
	// Verifier is PKCE's.
	Verifier string `json:"verifier"`
	// Binding is the hash of what the browser, or another client, keeps.
	Binding   []byte    `json:"binding"`
	ExpiresAt time.Time `json:"expires_at"`
	// UserID and SessionID are those of who links; empty for a sign-in.
	UserID    string `json:"user_id,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	// Replaces is the session that the client had as it began.
	Replaces sessionRef `json:"replaces,omitzero"`
}

func (s oauthState) links() bool { return s.UserID != "" }

// admits tells whether whoever comes back with the state is whom it was made for.
func (s oauthState) admits(provider, binding string, now time.Time) bool {
	return oauthstate.BindingIs(binding, s.Binding) && s.Provider == provider && now.Before(s.ExpiresAt)
}

// redirectURI is the one asked for, if it is in the list character by character (RFC 9700 §4.1.3).
func (p OAuthProvider) redirectURI(asked string) (string, error) {
	if asked == "" {
		return p.RedirectURIs[0], nil
	}
	if !slices.Contains(p.RedirectURIs, asked) {
		return "", subjects.InvalidField("redirect_uri", "is not one of those that are configured for this provider")
	}
	return asked, nil
}

// issuerMismatch applies RFC 9207 §2.4: an issuer that comes along must be the provider's, and must come along where
// the provider says that it sends it.
func (e endpoints) issuerMismatch(came string) bool {
	if came == "" {
		return e.sendsIssuer
	}
	if before, after, template := strings.Cut(e.issuer, tenantPlace); template {
		return !strings.HasPrefix(came, before) || !strings.HasSuffix(came, after)
	}
	return came != e.issuer
}

// account is a provider's account: who it is, and what the provider says of them.
type account struct {
	Issuer, Subject string
	Email           string
	// Vouched: the provider says that it has verified the address, and is one whose word counts.
	Vouched                   bool
	Name, FirstName, LastName string
	Picture, Locale, TimeZone string
}

// claims are an OpenID provider's, of an id token or of its userinfo endpoint.
type claims map[string]any

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// yes reads a boolean as providers write it.
func (c claims) yes(name string) bool {
	switch v := c[name].(type) {
	case bool:
		return v
	case string:
		return v == "true" || v == "1"
	case float64:
		return v == 1
	}
	return false
}

// account reads what claims say. Microsoft lets tenants write any address into email, so that only its own word on
// the address's domain counts (xms_edov).
func (c claims) account(kind, issuer, subject string) account {
	vouched := c.yes("email_verified")
	if kind == kindMicrosoft {
		vouched = c.yes("xms_edov")
	}
	return account{
		Issuer: issuer, Subject: subject, Email: c.text("email"), Vouched: vouched && c.text("email") != "",
		Name: c.text("name"), FirstName: c.text("given_name"), LastName: c.text("family_name"),
		Picture: c.text("picture"), Locale: c.text("locale"), TimeZone: c.text("zoneinfo"),
	}
}

// maxSubject bounds a provider's subject (OpenID Connect Core §2) and its issuer, in bytes.
const (
	maxSubject  = 255
	maxIssuer   = 512
	maxNameLong = 100
)

func (w account) sane() bool {
	return w.Subject != "" && len(w.Subject) <= maxSubject && w.Issuer != "" && len(w.Issuer) <= maxIssuer
}

// fill lays what the provider says of a person over an account that nobody has said anything of. What is not fit
// to be kept is left out: the person can say it again.
func (w account) fill(u user) user {
	u.FirstName, u.LastName = fitName(w.FirstName), fitName(w.LastName)
	if u.FirstName == "" && u.LastName == "" {
		u.FirstName = fitName(w.Name)
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

func fitName(s string) string {
	name, err := cleanName("name", s)
	if err != nil {
		return ""
	}
	if runes := []rune(name); len(runes) > maxNameLong {
		name = string(runes[:maxNameLong])
	}
	return name
}

// providerTokens are what a provider gave for an account, as they are sealed.
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

// expiresIn is how long a token lives by the provider's word; 0 where it gives none.
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

// refreshAt is when to refresh a token: some time before its end, and never sooner than half its life; zero for never.
func refreshAt(t *oauth2.Token, now time.Time, before time.Duration) time.Time {
	life := expiresIn(t)
	if t.RefreshToken == "" || life == 0 {
		return time.Time{}
	}
	return now.Add(max(life-before, life/2))
}

func errState() error {
	return subjects.InvalidField("state", "is unknown, used, over, or of another browser; begin again")
}

func errUntrusted(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnauthenticated, Detail: "the provider's answer cannot be trusted", Cause: cause,
	}
}

func errShut() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "this account cannot sign in")
}
