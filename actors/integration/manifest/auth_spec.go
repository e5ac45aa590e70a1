package manifest

// AuthSpec is one authentication method, as written in a manifest.
type AuthSpec struct {
	ID          string         `json:"id"`
	Kind        AuthKind       `json:"kind"`
	Title       string         `json:"title"`
	Help        string         `json:"help"`
	Credentials map[string]any `json:"credentials"`
	In          string         `json:"in"`
	Name        string         `json:"name"`
	Value       string         `json:"value"`
	Username    string         `json:"username"`
	Password    string         `json:"password"`
	OAuth2      *OAuth2        `json:"oauth2"`
	JWT         *JWTSpec       `json:"jwt"`
	SigV4       *SigV4Spec     `json:"sigv4"`
}

// AuthKind is the kind of an authentication method. The set is closed.
type AuthKind string

// The kinds of authentication methods.
const (
	AuthOAuth2            AuthKind = "oauth2"
	AuthClientCredentials AuthKind = "client_credentials"
	AuthJWTBearer         AuthKind = "jwt_bearer"
	AuthAPIKey            AuthKind = "api_key"
	AuthBasic             AuthKind = "basic"
	AuthSigV4             AuthKind = "sigv4"
	AuthNone              AuthKind = "none"
)

// The values of OAuth2.ClientAuth and OAuth2.TokenFormat that are not the default.
const (
	ClientAuthBasic = "basic"
	TokenFormatJSON = "json"
)

// OAuth2 holds the parameters of an authorization code flow (RFC 6749, section 4.1) or of a client credentials grant
// (section 4.4), as written in a manifest. URLs are literals or expressions over the settings.
type OAuth2 struct {
	AuthorizeURL    string            `json:"authorize_url"`
	TokenURL        string            `json:"token_url"`
	Issuer          string            `json:"issuer"`
	RefreshURL      string            `json:"refresh_url"`
	RevokeURL       string            `json:"revoke_url"`
	PKCE            bool              `json:"pkce"`
	ScopeSeparator  string            `json:"scope_separator"`
	ScopeParameter  string            `json:"scope_parameter"`
	DefaultScopes   []string          `json:"default_scopes"`
	ClientAuth      string            `json:"client_auth"`
	TokenFormat     string            `json:"token_format"`
	AuthorizeParams map[string]string `json:"authorize_params"`
	TokenParams     map[string]string `json:"token_params"`
	RefreshParams   map[string]string `json:"refresh_params"`
	TokenLifetime   Duration          `json:"token_lifetime"`
	Answer          TokenAnswerSpec   `json:"answer"`
	// InvalidGrant are error codes by which the provider says, besides invalid_grant, that a code or a refresh token is not valid.
	InvalidGrant []string       `json:"invalid_grant"`
	Capture      map[string]any `json:"capture"`
}

// TokenAnswerSpec holds expressions for the fields of a token response. The default of each is the field of its name
// (RFC 6749, section 5.1).
type TokenAnswerSpec struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    string `json:"expires_in"`
	Scope        string `json:"scope"`
	// Error is the error code of an error response (section 5.2).
	Error string `json:"error"`
}

// JWTSpec is a JWT that is signed with a key of the connection.
type JWTSpec struct {
	// TokenURL is where the JWT is exchanged for an access token (RFC 7523). If it is empty, the JWT is the access token.
	TokenURL      string            `json:"token_url"`
	Algorithm     string            `json:"algorithm"`
	Key           string            `json:"key"`
	KeyID         string            `json:"key_id"`
	Claims        map[string]any    `json:"claims"`
	Lifetime      Duration          `json:"lifetime"`
	GrantType     string            `json:"grant_type"`
	TokenParams   map[string]string `json:"token_params"`
	TokenLifetime Duration          `json:"token_lifetime"`
	Answer        TokenAnswerSpec   `json:"answer"`
	InvalidGrant  []string          `json:"invalid_grant"`
}

// SigV4Spec is the scope of an AWS Signature Version 4.
type SigV4Spec struct {
	Service string `json:"service"`
	Region  string `json:"region"`
}
