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

// Client is an application registered with a provider. A public one has no secret.
type Client struct{ ID, Secret string }

// oauth is what an AuthMethod knows about getting tokens, compiled.
type oauth struct {
	authorizeURL, tokenURL, refreshURL, revokeURL *tree

	separator, scopeParameter, clientAuth, format string

	scopes                                      []string
	authorizeParams, tokenParams, refreshParams map[string]string

	// grantParams go with a connection's own credentials; their leaves may be expressions over them.
	grantParams *tree

	lifetime time.Duration
	fields   tokenFields
	capture  *tree
	jwt      *jwtSigner
}

// oauth compiles how a method gets its tokens, where it does.
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
			jwt: c.jwt(*j, at),
		}
	}
}

// captured checks that what a token answer tells is a setting there is.
func (c *compiler) captured(capture map[string]any, pointer string) {
	properties, _ := c.manifest.Settings["properties"].(map[string]any)
	for name := range capture {
		if _, ok := properties[name]; !ok {
			c.fault(pointerTo(pointer, name), "the provider has no setting %s", name)
		}
	}
}

// oauthURL compiles an address that tokens come from. A literal one is the manifest's word; one that settings decide
// must lie within the provider's hosts, so that a setting cannot send a client's secret elsewhere.
func (c *compiler) oauthURL(text, pointer string) *tree {
	if isExpression(text) {
		if len(c.manifest.Hosts) == 0 {
			c.fault(pointer, "an address that is an expression needs the provider's hosts")
		}
	} else if u, err := url.Parse(text); text != "" && (err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http") {
		c.fault(pointer, "not an http address")
	}
	return c.optional(text, pointer)
}

// address is one of a method's OAuth addresses for a connection's settings.
func (m *AuthMethod) address(t *tree, settings map[string]any) (*url.URL, error) {
	plain, err := normal(orEmpty(settings))
	if err != nil {
		return nil, err
	}
	s, end := newScope(map[string]any{"settings": plain}, maxRequestValue)
	defer end()
	text, err := t.evalString(s)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the provider's OAuth address is not an http address")
	}
	if t.expr == nil {
		return u, nil
	}
	hosts, err := m.provider.hostPatterns(s)
	if err != nil {
		return nil, err
	}
	if !egress.HostAllowed(hosts, u) {
		return nil, errors.New("the provider's OAuth address is not at one of its hosts")
	}
	return u, nil
}

// Captured names the settings that a token answer tells.
func (m *AuthMethod) Captured() []string {
	if m.OAuth2 == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.OAuth2.Capture))
}

// Authorization is what a user is asked to allow, and where they come back to.
type Authorization struct {
	Client             Client
	RedirectURI, State string
	// Challenge is the PKCE challenge (S256); it is sent where the method takes one.
	Challenge string
	// Scopes are the provider's own; none means the manifest's default.
	Scopes   []string
	Settings map[string]any
}

// AuthorizeURL is where a user's browser goes to allow what is asked.
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

// CodeRequest exchanges an authorization code for tokens.
func (m *AuthMethod) CodeRequest(settings map[string]any, client Client, code, redirectURI, verifier string) (*egress.Request, error) {
	params := map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": redirectURI}
	if m.OAuth2.PKCE {
		params["code_verifier"] = verifier
	}
	maps.Copy(params, m.oauth.tokenParams)
	return m.tokenRequest(m.oauth.tokenURL, settings, client, params)
}

// RefreshRequest asks for a new access token.
func (m *AuthMethod) RefreshRequest(settings map[string]any, client Client, refreshToken string) (*egress.Request, error) {
	params := map[string]string{"grant_type": "refresh_token", "refresh_token": refreshToken}
	maps.Copy(params, m.oauth.refreshParams)
	return m.tokenRequest(m.oauth.refreshURL, settings, client, params)
}

// RevokeRequest takes a token back (RFC 7009). ok is false where the provider cannot.
func (m *AuthMethod) RevokeRequest(settings map[string]any, client Client, token string) (r *egress.Request, ok bool, err error) {
	if m.oauth == nil || m.oauth.revokeURL == nil {
		return nil, false, nil
	}
	r, err = m.tokenRequest(m.oauth.revokeURL, settings, client, map[string]string{"token": token})
	return r, true, err
}

// Fetches reports that a connection's access token is not among its credentials but must be got with them: ask
// GrantRequest, or SelfIssued where that has no request to make. The token is then given to Action.Request as the
// credential access_token.
func (m *AuthMethod) Fetches() bool {
	return m.Kind == AuthClientCredentials || m.Kind == AuthJWTBearer
}

// SelfIssues reports that the token is a JWT of the connection's own; see SelfIssued.
func (m *AuthMethod) SelfIssues() bool {
	return m.oauth != nil && m.oauth.jwt != nil && m.oauth.tokenURL == nil
}

// GrantRequest asks for an access token with a connection's credentials. id is unique: it becomes a JWT's jti.
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

// params compiles the parameters of a token request that a connection's credentials decide.
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

// addParams adds what grantParams yield for a connection.
func (m *AuthMethod) addParams(conn Connection, params map[string]string) error {
	root, err := requestRoot(conn, Call{})
	if err != nil {
		return err
	}
	s, end := newScope(root, maxRequestValue)
	defer end()
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

// SelfIssued is the JWT that is itself the token.
func (m *AuthMethod) SelfIssued(conn Connection, now time.Time, id string) (Tokens, error) {
	signed, until, err := m.oauth.jwt.sign(conn, now, id)
	if err != nil {
		return Tokens{}, m.buildError("token", err)
	}
	return Tokens{Access: signed, ExpiresAt: until}, nil
}

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
		// RFC 6749, 2.3.1: both are form-encoded first.
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

// UnknownScopes are those of scopes that the provider's manifest does not know; a manifest without scopes knows all.
func (p *Provider) UnknownScopes(scopes []string) []string {
	if len(p.Scopes) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { _, ok := p.Scopes[scope]; return ok })
}

// hostPatterns are the provider's hosts for one connection.
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
