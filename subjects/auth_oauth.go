package subjects

import "time"

// OAuthCookie is where a browser keeps what its sign-ins at providers are bound to.
const OAuthCookie = "weft_oauth"

// oauthStateLife is how long the browser keeps it: as long as the longest state that a configuration allows.
const oauthStateLife = time.Hour

// InitiateOAuthRequest names a provider and where it sends the browser back to.
type InitiateOAuthRequest struct {
	Provider      string `json:"provider" in:"path" maxLength:"64" doc:"The provider's id in the configuration."`
	RedirectURI   string `json:"redirect_uri,omitempty" maxLength:"2048" doc:"One of the provider's configured redirect_uris, character by character; the first unless given."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128" doc:"The binding that the browser has from an earlier start: it is kept, so that two tabs do not disturb each other."`
}

// OAuthStart is how a sign-in at a provider begins.
type OAuthStart struct {
	AuthorizationURL string `json:"authorization_url" doc:"Where to send the browser."`
	State            string `json:"state" doc:"Comes back from the provider; good once."`
	Binding          string `json:"binding" doc:"Binds the state to this client. A browser that keeps the cookie needs it not; any other client keeps it and sends it as X-OAuth-Binding, and never to the provider."`
	ExpiresIn        int    `json:"expires_in" doc:"Seconds until the state ends."`
}

// InitiateOAuth begins a sign-in at a provider.
var InitiateOAuth = declare(Endpoint[InitiateOAuthRequest, OAuthStart]{
	Subject: "weft.v1.auth.initiate_oauth", Route: "GET /v1/auth/oauth/{provider}", Access: SignIn, Origin: true,
	Limits: []Limit{PerIP(30, time.Minute)}, Timeout: 20 * time.Second,
	Cookie:  &Cookie{Name: OAuthCookie, Field: "binding", MaxAge: oauthStateLife},
	Summary: "Sign in with a provider",
	Doc: "Begins a sign-in at a provider: with PKCE S256 (RFC 7636), a nonce, and a state that is good once, for this " +
		"client alone. An unknown provider is not_found; a redirect_uri that is not in the configured list is invalid. A session " +
		"whose access token comes along ends once complete_oauth has made the new one.",
})

// CompleteOAuthRequest is what the provider sent the browser back with.
type CompleteOAuthRequest struct {
	Provider      string `json:"provider" in:"path" maxLength:"64"`
	State         string `json:"state" minLength:"1" maxLength:"128"`
	Code          string `json:"code,omitempty" maxLength:"8192"`
	Issuer        string `json:"iss,omitempty" maxLength:"512" doc:"The provider's issuer (RFC 9207)."`
	Error         string `json:"error,omitempty" maxLength:"128" doc:"What the provider says instead of a code (RFC 6749 §4.1.2.1)."`
	Binding       string `json:"binding,omitempty" in:"header:X-OAuth-Binding" maxLength:"128" doc:"The binding of the start; for clients without the cookie."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128"`
	// What providers add besides; nothing rests on it.
	ErrorDescription string `json:"error_description,omitempty" maxLength:"4096" doc:"Ignored."`
	ErrorURI         string `json:"error_uri,omitempty" maxLength:"4096" doc:"Ignored."`
	Scope            string `json:"scope,omitempty" maxLength:"4096" doc:"Ignored."`
	AuthUser         string `json:"authuser,omitempty" maxLength:"64" doc:"Ignored."`
	HostedDomain     string `json:"hd,omitempty" maxLength:"256" doc:"Ignored."`
	Prompt           string `json:"prompt,omitempty" maxLength:"64" doc:"Ignored."`
	SessionState     string `json:"session_state,omitempty" maxLength:"512" doc:"Ignored."`
	ClientInfo       string `json:"client_info,omitempty" maxLength:"4096" doc:"Ignored."`
}

// CompleteOAuth ends a sign-in at a provider.
var CompleteOAuth = declare(Endpoint[CompleteOAuthRequest, Session]{
	Subject: "weft.v1.auth.complete_oauth", Route: "GET /v1/auth/oauth/{provider}/callback", Access: SignIn, Origin: true,
	Limits: []Limit{PerIP(30, time.Minute)}, Timeout: 20 * time.Second,
	Summary: "Come back from a provider",
	Doc: "Exchanges the provider's code for a session, or ends what link_identity began, with a new session. The account is " +
		"found by the provider's issuer and subject, never by its e-mail. A provider's verified address opens a new account, " +
		"or takes over one whose address nobody had verified: without its password, sessions and keys. Where a verified " +
		"account has the address it is a conflict: sign in there and link. A state that is unknown, used, over or another " +
		"browser's is invalid; an account without an address that the provider vouches for is forbidden. The session that began a " +
		"linking, or whose access token comes along, here or with initiate_oauth, ends once the new one is there.",
})

// Identity is a provider's account with which the user can sign in.
type Identity struct {
	Provider   string    `json:"provider"`
	Issuer     string    `json:"issuer"`
	Email      string    `json:"email,omitempty" doc:"As the provider told it last; for the reader alone."`
	Name       string    `json:"name,omitempty"`
	Status     string    `json:"status" enum:"active,needs_reauth" doc:"needs_reauth: the provider took its tokens back; the next sign-in with it renews them."`
	LinkedAt   time.Time `json:"linked_at"`
	LastUsedAt time.Time `json:"last_used_at"`
}

// ListIdentitiesRequest asks for a page.
type ListIdentitiesRequest struct{ PageRequest }

// ListIdentities lists the caller's identities.
var ListIdentities = declare(Endpoint[ListIdentitiesRequest, Page[Identity]]{
	Subject: "weft.v1.auth.list_identities", Route: "GET /v1/users/me/identities", Access: User,
	Summary: "My identities", Doc: "Lists the provider accounts with which the caller can sign in, by provider.",
})

// LinkIdentityRequest names a provider and where it sends the browser back to.
type LinkIdentityRequest struct {
	Provider      string `json:"provider" minLength:"1" maxLength:"64"`
	RedirectURI   string `json:"redirect_uri,omitempty" maxLength:"2048" doc:"As for initiate_oauth."`
	CookieBinding string `json:"cookie_binding,omitempty" in:"cookie:weft_oauth" maxLength:"128"`
}

// LinkIdentity begins to link a provider's account.
var LinkIdentity = declare(Endpoint[LinkIdentityRequest, OAuthStart]{
	Subject: "weft.v1.auth.link_identity", Route: "POST /v1/users/me/identities", Access: User, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Timeout: 20 * time.Second, ReadOnly: true,
	Cookie:  &Cookie{Name: OAuthCookie, Field: "binding", MaxAge: oauthStateLife},
	Summary: "Link a provider",
	Doc: "Begins to link a provider's account to the caller's; complete_oauth ends it, in the same browser and while the " +
		"session lives, which makes room for a new one. It needs a sign-in of the last five minutes and a verified address: forbidden. One account of a " +
		"provider each: conflict.",
})

// UnlinkIdentityRequest names a provider.
type UnlinkIdentityRequest struct {
	Provider string `json:"provider" in:"path" maxLength:"64"`
}

// UnlinkIdentity removes a provider's account.
var UnlinkIdentity = declare(Endpoint[UnlinkIdentityRequest, Empty]{
	Subject: "weft.v1.auth.unlink_identity", Route: "DELETE /v1/users/me/identities/{provider}", Access: User, Origin: true,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Unlink a provider",
	Doc: "Removes a provider's account from the caller's and ends every other session. It needs a sign-in of the last five " +
		"minutes: forbidden. The last way in cannot be removed: conflict.",
})
