package subjects

import "time"

// OAuthCookie is the cookie that binds OAuth authorizations to the browser that started them.
const OAuthCookie = "weft_oauth"

// oauthStateLife is the cookie's lifetime: the longest lifetime of a state that a configuration allows.
const oauthStateLife = time.Hour

// InitiateOAuthRequest names a provider and the redirect URI.
type InitiateOAuthRequest struct {
	Provider      string `json:"provider" in:"path" maxLength:"64" doc:"The provider's id in the configuration."`
	RedirectURI   string `json:"redirect_uri,omitempty" maxLength:"2048" doc:"One of the provider's configured redirect_uris, matched exactly; default: the first."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128" doc:"The binding of an earlier start in this browser. It is reused, so that two tabs do not interfere."`
}

// OAuthStart is the start of a sign-in at a provider.
type OAuthStart struct {
	AuthorizationURL string `json:"authorization_url" doc:"The URL to send the browser to."`
	State            string `json:"state" doc:"Returned by the provider; valid once."`
	Binding          string `json:"binding" doc:"Binds the state to this client. A browser has it as a cookie; any other client stores it and sends it as X-OAuth-Binding to weft, never to the provider."`
	ExpiresIn        int    `json:"expires_in" doc:"Seconds until the state expires."`
}

// InitiateOAuth starts a sign-in at a provider.
var InitiateOAuth = declare(Endpoint[InitiateOAuthRequest, OAuthStart]{
	Subject: "weft.v1.auth.initiate_oauth", Route: "GET /v1/auth/oauth/{provider}", Access: SignIn, Origin: true,
	Limits: []Limit{PerIP(30, time.Minute)}, Timeout: 20 * time.Second,
	Cookie:  &Cookie{Name: OAuthCookie, Field: "binding", MaxAge: oauthStateLife},
	Summary: "Sign in with a provider",
	Doc: "Starts a sign-in at a provider: with PKCE S256 (RFC 7636), a nonce, and a state that is valid once and only for this " +
		"client. Errors: not_found for an unknown provider; invalid for a redirect_uri that is not configured. If the request carries " +
		"an access token, complete_oauth replaces its session by the new one.",
})

// CompleteOAuthRequest carries the parameters with which the provider redirected the browser.
type CompleteOAuthRequest struct {
	Provider      string `json:"provider" in:"path" maxLength:"64"`
	State         string `json:"state" minLength:"1" maxLength:"128"`
	Code          string `json:"code,omitempty" maxLength:"8192"`
	Issuer        string `json:"iss,omitempty" maxLength:"512" doc:"The provider's issuer (RFC 9207)."`
	Error         string `json:"error,omitempty" maxLength:"128" doc:"The provider's error, in place of a code (RFC 6749 §4.1.2.1)."`
	Binding       string `json:"binding,omitempty" in:"header:X-OAuth-Binding" maxLength:"128" doc:"The binding that the start returned; for clients without the cookie."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128"`
	User          string `json:"user,omitempty" maxLength:"4096" doc:"What Apple posts at the first sign-in: a JSON object with the user's name. Only the name is taken from it."`
}

// CompleteOAuth completes a sign-in at a provider.
var CompleteOAuth = declare(Endpoint[CompleteOAuthRequest, Session]{
	Subject: "weft.v1.auth.complete_oauth", Route: "GET /v1/auth/oauth/{provider}/callback", Access: SignIn, Origin: true,
	MaxMessage: 64 << 10,
	Limits:     []Limit{PerIP(30, time.Minute)}, Timeout: 20 * time.Second, IgnoreUnknown: true,
	Summary: "Provider callback",
	Doc: "Parameters that a provider adds are ignored (RFC 6749 §4.1.2). Exchanges the provider's code for a session, or " +
		"completes what link_identity started, with a new session. The account is identified by the provider's issuer and " +
		"subject, never by its e-mail address. An address that the provider has verified creates an account. An account with " +
		"that address that was never verified is deleted with everything in it, as by delete_account; while an actor has not " +
		"erased it, the answer is unavailable with the reason erasing: sign in again. conflict: a verified account has the " +
		"address; sign in there and link the provider. invalid: the state is unknown, used, expired or bound to another " +
		"browser. forbidden: the provider's account has no verified address. The session that started the linking, or whose " +
		"access token the request or initiate_oauth carried, is replaced by the new one.",
})

// PostOAuth receives the callback of a provider that answers by a form (OAuth 2.0 Form Post Response Mode).
var PostOAuth = declare(Endpoint[CompleteOAuthRequest, Document]{
	Subject: "weft.v1.auth.post_oauth", Route: "POST /v1/auth/oauth/{provider}/callback", Access: Public, Produces: "text/html",
	MaxMessage: 64 << 10,
	Limits:     []Limit{PerIP(30, time.Minute)}, Body: Body{Kind: BodyForm}, ReadOnly: true, IgnoreUnknown: true, Status: 303,
	Summary: "Provider callback by form",
	Doc: "Takes the parameters of complete_oauth from a form, as Apple posts it, and redirects the browser to complete_oauth. The " +
		"redirect is needed because the provider's form is not sent with the cookie that binds the state to the browser. It changes nothing.",
})

// Statuses of an identity.
const (
	IdentityActive      = "active"
	IdentityNeedsReauth = "needs_reauth"
)

// Identity is a provider account that the user can sign in with.
type Identity struct {
	Provider   string    `json:"provider"`
	Issuer     string    `json:"issuer"`
	Email      string    `json:"email,omitempty" doc:"As last reported by the provider; informational."`
	Name       string    `json:"name,omitempty"`
	Status     string    `json:"status" enum:"active,needs_reauth" doc:"needs_reauth: the provider revoked its tokens; the next sign-in with it renews them."`
	LinkedAt   time.Time `json:"linked_at"`
	LastUsedAt time.Time `json:"last_used_at"`
}

// ListIdentitiesRequest is the request of ListIdentities.
type ListIdentitiesRequest struct{ PageRequest }

// ListIdentities lists the caller's identities.
var ListIdentities = declare(Endpoint[ListIdentitiesRequest, Page[Identity]]{
	Subject: "weft.v1.auth.list_identities", Route: "GET /v1/users/me/identities", Access: User,
	Summary: "My identities", Doc: "Lists the provider accounts that the caller can sign in with, by provider.",
})

// LinkIdentityRequest names a provider and the redirect URI.
type LinkIdentityRequest struct {
	Provider      string `json:"provider" minLength:"1" maxLength:"64"`
	RedirectURI   string `json:"redirect_uri,omitempty" maxLength:"2048" doc:"As in initiate_oauth."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128"`
}

// LinkIdentity starts linking a provider account.
var LinkIdentity = declare(Endpoint[LinkIdentityRequest, OAuthStart]{
	Subject: "weft.v1.auth.link_identity", Route: "POST /v1/users/me/identities", Access: User, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Timeout: 20 * time.Second, ReadOnly: true,
	Cookie:  &Cookie{Name: OAuthCookie, Field: "binding", MaxAge: oauthStateLife},
	Summary: "Link a provider",
	Doc: "Starts linking a provider account to the caller's account. complete_oauth completes it in the same browser, while the " +
		"session is alive, and replaces that session by a new one. Errors: forbidden without a sign-in within the last five minutes " +
		"and a verified address; conflict if an account of that provider is linked already.",
})

// UnlinkIdentityRequest names a provider.
type UnlinkIdentityRequest struct {
	Provider string `json:"provider" in:"path" maxLength:"64"`
}

// UnlinkIdentity removes a linked provider account.
var UnlinkIdentity = declare(Endpoint[UnlinkIdentityRequest, Empty]{
	Subject: "weft.v1.auth.unlink_identity", Route: "DELETE /v1/users/me/identities/{provider}", Access: User, Origin: true,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Unlink a provider",
	Doc: "Removes a provider account from the caller's account and ends every other session. Errors: forbidden without a sign-in " +
		"within the last five minutes; conflict if it is the only credential.",
})
