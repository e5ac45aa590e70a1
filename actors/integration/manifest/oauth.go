package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// Client holds the credentials of an application registered with a provider. A public client has no secret.
type Client struct{ ID, Secret string }

// oauth is a compiled OAuth2 or JWTSpec.
type oauth struct {
	authorizeURL, tokenURL, refreshURL, revokeURL *tree

	separator, scopeParameter, clientAuth, format string

	scopes                                      []string
	authorizeParams, tokenParams, refreshParams map[string]string

	// grantParams are further parameters of GrantRequest; they may be expressions over credentials and settings.
	grantParams *tree

	lifetime     time.Duration
	fields       tokenFields
	invalidGrant []string
	capture      *tree
	jwt          *jwtSigner
}

// oauth compiles the oauth2 or jwt section of a method that has one.
func (c *compiler) oauth(m *AuthMethod, spec AuthSpec, pointer string) {
	switch {
	case spec.OAuth2 != nil:
		o, at := spec.OAuth2, pointerTo(pointer, "oauth2")
		m.oauth = &oauth{
			authorizeURL: c.oauthURL(o.AuthorizeURL, pointerTo(at, "authorize_url")),
			tokenURL:     c.oauthURL(o.TokenURL, pointerTo(at, "token_url")),
			refreshURL:   c.oauthURL(cmp.Or(o.RefreshURL, o.TokenURL), pointerTo(at, "refresh_url")),
			revokeURL:    c.oauthURL(o.RevokeURL, pointerTo(at, "revoke_url")),
			separator:    cmp.Or(o.ScopeSeparator, " "), scopeParameter: cmp.Or(o.ScopeParameter, "scope"),
			clientAuth: o.ClientAuth, format: o.TokenFormat, scopes: o.DefaultScopes,
			authorizeParams: o.AuthorizeParams, tokenParams: o.TokenParams, refreshParams: o.RefreshParams,
			lifetime: time.Duration(o.TokenLifetime), fields: c.tokenFields(o.Answer, pointerTo(at, "answer")),
			invalidGrant: o.InvalidGrant,
		}
		if spec.Kind == AuthClientCredentials {
			m.oauth.grantParams = c.params(o.TokenParams, pointerTo(at, "token_params"))
		}
		if o.Capture != nil {
			m.oauth.capture = c.tree(o.Capture, pointerTo(at, "capture"))
			c.captured(o.Capture, pointerTo(at, "capture"))
		}
	case spec.JWT != nil:
		j, at := spec.JWT, pointerTo(pointer, "jwt")
		m.oauth = &oauth{
			tokenURL: c.oauthURL(j.TokenURL, pointerTo(at, "token_url")), grantParams: c.params(j.TokenParams, pointerTo(at, "token_params")),
			lifetime: cmp.Or(time.Duration(j.TokenLifetime), time.Hour), fields: c.tokenFields(j.Answer, pointerTo(at, "answer")),
			invalidGrant: j.InvalidGrant, jwt: c.jwt(*j, at),
		}
	}
}

// captured checks that the settings captured from a token response are declared.
func (c *compiler) captured(capture map[string]any, pointer string) {
	properties, _ := c.manifest.Settings["properties"].(map[string]any)
	for name := range capture {
		if _, ok := properties[name]; !ok {
			c.fault(pointerTo(pointer, name), "%s is not declared in settings", name)
		}
	}
}

// oauthURL compiles an OAuth URL. A URL that depends on settings requires hosts, so that a setting cannot redirect a client's
// secret to another host.
func (c *compiler) oauthURL(text, pointer string) *tree {
	if isExpression(text) {
		if len(c.manifest.Hosts) == 0 {
			c.fault(pointer, "a URL that is an expression requires hosts")
		}
	} else if u, err := url.Parse(text); text != "" && (err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http") {
		c.fault(pointer, "must be an http or https URL")
	}
	return c.optional(text, pointer)
}

// address evaluates one of a method's OAuth URLs for the settings of a connection.
func (m *AuthMethod) address(t *tree, settings map[string]any) (*url.URL, error) {
	plain, err := normalize(orEmpty(settings))
	if err != nil {
		return nil, err
	}
	s := newScope(map[string]any{"settings": plain}, maxRequestValue)
	text, err := t.evalString(s)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the OAuth URL is not an http or https URL")
	}
	if t.expr == nil {
		return u, nil
	}
	hosts, err := m.provider.hostPatterns(s)
	if err != nil {
		return nil, err
	}
	if !egress.HostAllowed(hosts, u) {
		return nil, errors.New("the OAuth URL is not within the provider's hosts")
	}
	return u, nil
}

// Captured returns the names of the settings that Tokens reads from a token response, sorted.
func (m *AuthMethod) Captured() []string {
	if m.OAuth2 == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.OAuth2.Capture))
}

// Authorization holds the parameters of an authorization request (RFC 6749, section 4.1.1).
type Authorization struct {
	Client             Client
	RedirectURI, State string
	// Challenge is the PKCE code challenge by S256 (RFC 7636). It is sent if the method uses PKCE.
	Challenge string
	// Scopes are scopes of the provider; empty means the manifest's default scopes.
	Scopes   []string
	Settings map[string]any
}

// AuthorizeURL returns the URL to which the user's browser is sent to grant access.
func (m *AuthMethod) AuthorizeURL(a Authorization) (string, error) {
	u, err := m.address(m.oauth.authorizeURL, a.Settings)
	if err != nil {
		return "", m.buildError("authorize", err)
	}
	query := u.Query()
	query.Set("response_type", "code")
	for name, value := range m.oauth.authorizeParams {
		query.Set(name, value)
	}
	query.Set("client_id", a.Client.ID)
	query.Set("redirect_uri", a.RedirectURI)
	query.Set("state", a.State)
	scopes := a.Scopes
	if len(scopes) == 0 {
		scopes = m.oauth.scopes
	}
	if len(scopes) > 0 {
		query.Set(m.oauth.scopeParameter, strings.Join(scopes, m.oauth.separator))
	}
	if m.OAuth2.PKCE {
		query.Set("code_challenge", a.Challenge)
		query.Set("code_challenge_method", "S256")
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// CodeRequest returns the request that exchanges an authorization code for tokens. verifier is the PKCE code verifier.
func (m *AuthMethod) CodeRequest(settings map[string]any, client Client, code, redirectURI, verifier string) (*egress.Request, error) {
	params := map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": redirectURI}
	if m.OAuth2.PKCE {
		params["code_verifier"] = verifier
	}
	maps.Copy(params, m.oauth.tokenParams)
	return m.tokenRequest(m.oauth.tokenURL, settings, client, params)
}

// RefreshRequest returns the request for a new access token.
func (m *AuthMethod) RefreshRequest(settings map[string]any, client Client, refreshToken string) (*egress.Request, error) {
	params := map[string]string{"grant_type": "refresh_token", "refresh_token": refreshToken}
	maps.Copy(params, m.oauth.refreshParams)
	return m.tokenRequest(m.oauth.refreshURL, settings, client, params)
}

// RevokeRequest returns the request that revokes a token (RFC 7009). ok is false if the provider does not support it.
func (m *AuthMethod) RevokeRequest(settings map[string]any, client Client, token string) (r *egress.Request, ok bool, err error) {
	if m.oauth == nil || m.oauth.revokeURL == nil {
		return nil, false, nil
	}
	r, err = m.tokenRequest(m.oauth.revokeURL, settings, client, map[string]string{"token": token})
	return r, true, err
}

// Fetches reports whether an access token must be obtained with the connection's credentials: by SelfIssued if SelfIssues,
// and by GrantRequest otherwise. Action.Request expects the token as the credential access_token.
func (m *AuthMethod) Fetches() bool {
	return m.Kind == AuthClientCredentials || m.Kind == AuthJWTBearer
}

// SelfIssues reports whether the access token is a JWT signed with the connection's key; see SelfIssued.
func (m *AuthMethod) SelfIssues() bool {
	return m.oauth != nil && m.oauth.jwt != nil && m.oauth.tokenURL == nil
}

// GrantRequest returns the request for an access token with a connection's credentials: a client credentials grant or a JWT
// bearer grant (RFC 7523). id is the unique jti of the JWT.
func (m *AuthMethod) GrantRequest(conn Connection, now time.Time, id string) (*egress.Request, error) {
	if m.oauth.jwt != nil {
		signed, _, err := m.oauth.jwt.sign(conn, now, id)
		if err != nil {
			return nil, m.buildError("token", err)
		}
		params := map[string]string{"grant_type": m.oauth.jwt.grantType, "assertion": signed}
		if err := m.addParams(conn, params); err != nil {
			return nil, m.buildError("token", err)
		}
		return m.tokenRequest(m.oauth.tokenURL, conn.Settings, Client{}, params)
	}
	params := map[string]string{"grant_type": "client_credentials"}
	if len(m.oauth.scopes) > 0 {
		params[m.oauth.scopeParameter] = strings.Join(m.oauth.scopes, m.oauth.separator)
	}
	if err := m.addParams(conn, params); err != nil {
		return nil, m.buildError("token", err)
	}
	id, _ = conn.Credentials["client_id"].(string)
	secret, _ := conn.Credentials["client_secret"].(string)
	return m.tokenRequest(m.oauth.tokenURL, conn.Settings, Client{ID: id, Secret: secret}, params)
}

// params compiles the parameters of a token request, whose values may be expressions.
func (c *compiler) params(params map[string]string, pointer string) *tree {
	if len(params) == 0 {
		return nil
	}
	object := make(map[string]any, len(params))
	for name, value := range params {
		object[name] = value
	}
	return c.tree(object, pointer)
}

// addParams adds the values of grantParams for a connection.
func (m *AuthMethod) addParams(conn Connection, params map[string]string) error {
	root, err := requestRoot(conn, Call{})
	if err != nil {
		return err
	}
	s := newScope(root, maxRequestValue)
	value, present, err := m.oauth.grantParams.eval(s)
	if err != nil || !present {
		return err
	}
	texts, err := textValues(value)
	if err != nil {
		return fmt.Errorf("token_params: %w", err)
	}
	for name := range texts {
		params[name] = texts.Get(name)
	}
	return nil
}

// SelfIssued signs a JWT that is the access token. id is its unique jti.
func (m *AuthMethod) SelfIssued(conn Connection, now time.Time, id string) (Tokens, error) {
	signed, until, err := m.oauth.jwt.sign(conn, now, id)
	if err != nil {
		return Tokens{}, m.buildError("token", err)
	}
	return Tokens{Access: signed, ExpiresAt: until}, nil
}

// tokenRequest returns a request to an OAuth endpoint, with the authentication of the client.
func (m *AuthMethod) tokenRequest(at *tree, settings map[string]any, client Client, params map[string]string) (*egress.Request, error) {
	u, err := m.address(at, settings)
	if err != nil {
		return nil, m.buildError("token", err)
	}
	r := &egress.Request{
		Method: http.MethodPost, URL: u.String(), Hosts: []string{u.Host}, NoRedirect: true,
		Header: http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}},
	}
	switch {
	case client.ID == "":
	case m.oauth.clientAuth == ClientAuthBasic && client.Secret != "":
		// RFC 6749, section 2.3.1: id and secret are form-encoded first.
		r.Header.Set("Authorization", basicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.Secret)))
	default:
		params["client_id"] = client.ID
		if client.Secret != "" {
			params["client_secret"] = client.Secret
		}
	}
	if m.oauth.format == TokenFormatJSON {
		r.Header.Set("Content-Type", "application/json")
		r.Body, err = encodeJSON(params)
		return r, err
	}
	form := make(url.Values, len(params))
	for name, value := range params {
		form.Set(name, value)
	}
	r.Body = []byte(form.Encode())
	return r, nil
}

func (m *AuthMethod) buildError(what string, err error) error {
	return &BuildError{Provider: m.provider.ID, Action: m.ID + " " + what, message: err.Error()}
}

// UnknownScopes returns the scopes that the manifest does not declare; none if it declares no scopes at all.
func (p *Provider) UnknownScopes(scopes []string) []string {
	if len(p.Scopes) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { _, ok := p.Scopes[scope]; return ok })
}

// hostPatterns evaluates the provider's hosts for a connection.
func (p *Provider) hostPatterns(s *scope) ([]string, error) {
	patterns := make([]string, 0, len(p.hosts))
	for _, host := range p.hosts {
		pattern, err := host.evalString(s)
		if err != nil {
			return nil, fmt.Errorf("hosts: %w", err)
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}
