package manifest

// AuthSpec is one way to authenticate, as written.
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

// AuthKind is how a provider authenticates. The set is closed.
type AuthKind string

// The kinds of auth.
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

// OAuth2 holds the parameters of an authorization-code flow, or of a client_credentials request.
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
	Capture         map[string]any    `json:"capture"`
}

// TokenAnswerSpec says where a token answer has its fields; an empty one is at its place of RFC 6749.
type TokenAnswerSpec struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    string `json:"expires_in"`
	Scope        string `json:"scope"`
}

// JWTSpec is a JWT that the connection's key signs.
type JWTSpec struct {
	// TokenURL is where it is exchanged; empty: it is the token itself.
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
}

// SigV4Spec names what AWS Signature Version 4 is made for.
type SigV4Spec struct {
	Service string `json:"service"`
	Region  string `json:"region"`
}
