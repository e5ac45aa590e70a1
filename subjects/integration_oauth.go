package subjects

import "time"

// GetAuthURLRequest describes the connection to authorize.
type GetAuthURLRequest struct {
	Provider      string   `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Auth          string   `json:"auth,omitempty" in:"query" maxLength:"64" doc:"An authentication method of kind oauth2; default: the provider's first."`
	RedirectURI   string   `json:"redirect_uri,omitempty" in:"query" maxLength:"2048" doc:"One of integration.redirect_uris, matched exactly; default: weft's own page."`
	Scopes        []string `json:"scopes,omitempty" in:"query" doc:"The provider's scopes; default: those of the manifest."`
	Label         string   `json:"label,omitempty" in:"query" minLength:"1" maxLength:"64" pattern:"^[^\\s](.*[^\\s])?$" doc:"The connection's label; default: \"default\"."`
	Settings      string   `json:"settings,omitempty" in:"query" maxLength:"4096" doc:"The connection's settings, a JSON object."`
	ClientID      string   `json:"client_id,omitempty" in:"query" maxLength:"1024" doc:"Your own application at the provider, in place of the operator's."`
	IntegrationID string   `json:"integration_id,omitempty" in:"query" format:"uuid" doc:"Authorize this existing connection again instead of creating one."`
	CookieBinding string   `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128" doc:"The binding of an earlier start in this browser, which is reused."`
}

// AuthURL is the start of an OAuth authorization for a connection.
type AuthURL struct {
	AuthorizationURL string `json:"authorization_url" doc:"The URL to send the browser to."`
	State            string `json:"state" doc:"Returned by the provider; valid once, only for this user and session."`
	RedirectURI      string `json:"redirect_uri" doc:"The URL that the provider redirects the browser to."`
	Binding          string `json:"binding" doc:"Binds weft's own page to this browser, which stores it as a cookie."`
	ExpiresIn        int    `json:"expires_in" doc:"Seconds until the state expires."`
}

// GetAuthURL starts an OAuth 2 authorization for a connection.
var GetAuthURL = declare(Endpoint[GetAuthURLRequest, AuthURL]{
	Subject: "weft.v1.integration.get_auth_url", Route: "GET /v1/providers/{provider}/auth-url", Access: Scope(ScopeIntegrationsConnect),
	MaxMessage: 64 << 10,
	Limits:     []Limit{PerUser(60, time.Minute)},
	Cookie:     &Cookie{Name: OAuthCookie, Field: "binding", MaxAge: oauthStateLife},
	Summary:    "Start connecting an account",
	Doc: "Starts an authorization at a provider: with PKCE S256 (RFC 7636) if the provider supports it, and a state that is valid " +
		"once, only for this user and session. Weft's own page completes it in the browser that got this answer; the owner of any " +
		"other redirect_uri completes it with exchange_code. conflict: no OAuth client is configured for that provider, neither the " +
		"operator's (integration.providers.<id>.client_id) nor your own. invalid, client_id: the settings choose a host at which the " +
		"operator's client is not registered (integration.providers.<id>.client_hosts), so that you need your own.",
})

// ExchangeCodeRequest carries the parameters with which the provider redirected the browser.
type ExchangeCodeRequest struct {
	Provider     string     `json:"provider" in:"path" maxLength:"64" pattern:"^[a-z][a-z0-9_]*$"`
	Code         string     `json:"code" minLength:"1" maxLength:"8192"`
	State        string     `json:"state" minLength:"1" maxLength:"128"`
	Issuer       string     `json:"iss,omitempty" maxLength:"512" doc:"The provider's issuer, if it was sent (RFC 9207)."`
	ClientSecret SecretText `json:"client_secret,omitempty" maxLength:"4096" doc:"The secret of the client_id that was passed to get_auth_url."`
}

// ExchangeCode completes an authorization that GetAuthURL started.
var ExchangeCode = declare(Endpoint[ExchangeCodeRequest, Connection]{
	Subject: "weft.v1.integration.exchange_code", Route: "POST /v1/providers/{provider}/exchange", Access: Scope(ScopeIntegrationsConnect),
	Timeout: time.Minute, Location: "/v1/integrations/{id}",
	Summary: "Connect an account by an authorization code",
	Doc: "Exchanges a provider's authorization code for tokens, checks them with the health probe and stores them sealed. invalid: " +
		"the state is unknown, used, expired, or of another user, session or provider. conflict: the settings of the connection to " +
		"authorize again have changed since.",
})

// OAuthCallbackRequest carries the query with which a provider redirects a browser to weft's own page.
type OAuthCallbackRequest struct {
	Query         string `json:"query,omitempty" in:"raw_query" maxLength:"16384" doc:"state and code, or error (RFC 6749 §4.1.2), iss (RFC 9207), and any other parameters that a provider adds."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128"`
}

// OAuthCallback is the redirect URI of weft's own page.
var OAuthCallback = declare(Endpoint[OAuthCallbackRequest, Document]{
	Subject: "weft.v1.integration.oauth_callback", Route: "GET /v1/integrations/callback", Access: Public, Produces: "text/html",
	Limits: []Limit{PerIP(60, time.Minute)}, Timeout: time.Minute,
	Summary: "Provider callback",
	Doc: "Connects the account if the browser is the one that started the authorization, and returns a page with the result. In any " +
		"other browser it does nothing, and the state stays valid.",
})

// RefreshedToken says when a connection's access token expires.
type RefreshedToken struct {
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Absent if it does not expire."`
}

// RefreshConnection requests a new access token from the provider.
var RefreshConnection = declare(Endpoint[IntegrationRequest, RefreshedToken]{
	Subject: "weft.v1.integration.refresh_token", Route: "POST /v1/integrations/{integration_id}/refresh", Access: Scope(ScopeIntegrationsConnect),
	Timeout: time.Minute,
	Summary: "Refresh an access token",
	Doc: "Requests a new access token from the provider now. Weft does so by itself before a token expires and when a provider rejects " +
		"one. A connection that needs a new authorization is active again if the provider accepts. Errors: conflict if the connection has " +
		"no refresh token; needs_reauth if the provider answers that the grant is invalid; unavailable after any other answer.",
})
