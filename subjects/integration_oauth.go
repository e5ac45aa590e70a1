package subjects

import "time"

// GetAuthURLRequest says which account is to be connected, and how.
type GetAuthURLRequest struct {
	Provider      string   `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Auth          string   `json:"auth,omitempty" in:"query" maxLength:"64" doc:"The way to authenticate, of kind oauth2; the provider's first of that kind unless given."`
	RedirectURI   string   `json:"redirect_uri,omitempty" in:"query" maxLength:"2048" doc:"One of integration.redirect_uris, character by character; weft's own page unless given."`
	Scopes        []string `json:"scopes,omitempty" in:"query" doc:"The provider's own scopes; those that the manifest asks for unless given."`
	Label         string   `json:"label,omitempty" in:"query" minLength:"1" maxLength:"64" pattern:"^[^\\s](.*[^\\s])?$" doc:"The connection's label; default unless given."`
	Settings      string   `json:"settings,omitempty" in:"query" maxLength:"4096" doc:"The connection's settings, a JSON object."`
	ClientID      string   `json:"client_id,omitempty" in:"query" maxLength:"1024" doc:"An application of one's own at the provider, in the place of the operator's."`
	IntegrationID string   `json:"integration_id,omitempty" in:"query" format:"uuid" doc:"Signs a connection that there is in again, in the place of a new one."`
	CookieBinding string   `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128" doc:"The binding that the browser has from an earlier start: it is kept."`
}

// AuthURL is how a connection at a provider begins.
type AuthURL struct {
	AuthorizationURL string `json:"authorization_url" doc:"Where to send the browser."`
	State            string `json:"state" doc:"Comes back from the provider; good once, for this user and session alone."`
	RedirectURI      string `json:"redirect_uri" doc:"Where the provider sends the browser back to."`
	Binding          string `json:"binding" doc:"Binds weft's own page to this browser, which keeps it as a cookie."`
	ExpiresIn        int    `json:"expires_in" doc:"Seconds until the state ends."`
}

// GetAuthURL begins to connect an account by OAuth 2.
var GetAuthURL = declare(Endpoint[GetAuthURLRequest, AuthURL]{
	Subject: "weft.v1.integration.get_auth_url", Route: "GET /v1/providers/{provider}/auth-url", Access: Scope(ScopeIntegrationsConnect),
	Limits:  []Limit{PerUser(60, time.Minute)},
	Cookie:  &Cookie{Name: OAuthCookie, Field: "binding", MaxAge: oauthStateLife},
	Summary: "Begin to connect an account",
	Doc: "Begins an authorization at a provider: with PKCE S256 (RFC 7636) where the provider takes it, and a state that is good " +
		"once, for this user and session. Weft's own page ends it where it comes back in the browser that got this answer; any " +
		"other redirect_uri's owner ends it with exchange_code. conflict: there is no client at that provider, neither the " +
		"operator's (integration.providers.<id>.client_id) nor one's own.",
})

// ExchangeCodeRequest is what the provider sent the browser back with.
type ExchangeCodeRequest struct {
	Provider     string     `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Code         string     `json:"code" minLength:"1" maxLength:"8192"`
	State        string     `json:"state" minLength:"1" maxLength:"128"`
	Issuer       string     `json:"iss,omitempty" maxLength:"512" doc:"The provider's issuer, where it came along (RFC 9207)."`
	ClientSecret SecretText `json:"client_secret,omitempty" maxLength:"4096" doc:"Of the client_id that get_auth_url was given."`
}

// ExchangeCode ends what get_auth_url began.
var ExchangeCode = declare(Endpoint[ExchangeCodeRequest, Connection]{
	Subject: "weft.v1.integration.exchange_code", Route: "POST /v1/providers/{provider}/exchange", Access: Scope(ScopeIntegrationsConnect),
	Timeout: time.Minute, Location: "/v1/integrations/{id}",
	Summary: "Connect an account by a code",
	Doc: "Exchanges a provider's authorization code for tokens and keeps them, sealed, once the health probe has passed with them. " +
		"A state that is unknown, used, over or another user's, session's or provider's is invalid.",
})

// OAuthCallbackRequest is what a provider sends a browser back to weft's own page with.
type OAuthCallbackRequest struct {
	Query         string `json:"query,omitempty" in:"raw_query" maxLength:"16384" doc:"state and code, or error (RFC 6749 §4.1.2), iss (RFC 9207), and whatever else a provider adds."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128"`
}

// OAuthCallback is where providers send browsers back to.
var OAuthCallback = declare(Endpoint[OAuthCallbackRequest, Document]{
	Subject: "weft.v1.integration.oauth_callback", Route: "GET /v1/integrations/callback", Access: Public, Produces: "text/html",
	Limits: []Limit{PerIP(60, time.Minute)}, Timeout: time.Minute,
	Summary: "Come back from a provider",
	Doc: "Connects the account, where the browser is the one that began, and answers with a page that says what happened. In any " +
		"other browser nothing is done: the state stays good for who began.",
})

// RefreshedToken tells how long a connection's access token is good.
type RefreshedToken struct {
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Absent where it does not end."`
}

// RefreshConnection asks the provider for a new access token.
var RefreshConnection = declare(Endpoint[IntegrationRequest, RefreshedToken]{
	Subject: "weft.v1.integration.refresh_token", Route: "POST /v1/integrations/{integration_id}/refresh", Access: Scope(ScopeIntegrationsConnect),
	Timeout: time.Minute,
	Summary: "Refresh an access token",
	Doc: "Asks the provider for a new access token now; weft does so by itself before one ends and when a provider says that one " +
		"has. conflict: the connection has nothing to refresh with; needs_reauth: the provider refuses, the user must sign in again.",
})
