package manifest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpguts"
)

// defaultCredentials are the schemas of credentials for manifests that do not declare any. The kind jwt_bearer has no
// default.
var defaultCredentials = map[AuthKind]objectSchema{
	AuthNone: noFields,
	AuthAPIKey: closed(map[string]any{
		"type": "object", "required": []any{"api_key"},
		"properties": map[string]any{"api_key": secretSchema("API key")},
	}),
	AuthBasic: closed(map[string]any{
		"type": "object", "required": []any{"username", "password"},
		"properties": map[string]any{
			"username": map[string]any{"type": "string", "title": "User name", "minLength": 1, "writeOnly": false},
			"password": secretSchema("Password"),
		},
	}),
	AuthOAuth2: closed(map[string]any{
		"type": "object", "required": []any{"access_token"},
		"properties": map[string]any{
			"access_token":  secretSchema("Access token"),
			"refresh_token": secretSchema("Refresh token"),
			"token_type":    map[string]any{"type": "string", "writeOnly": false},
			"scope":         map[string]any{"type": "string", "writeOnly": false},
			"expires_at":    map[string]any{"type": "string", "format": "date-time", "writeOnly": false},
			"client_id":     clientIDSchema("Client id, if not the operator's"),
			"client_secret": secretSchema("Client secret"),
		},
	}),
	AuthClientCredentials: closed(map[string]any{
		"type": "object", "required": []any{"client_id", "client_secret"},
		"properties": map[string]any{
			"client_id":     clientIDSchema("Client id"),
			"client_secret": secretSchema("Client secret"),
		},
	}),
	AuthSigV4: closed(map[string]any{
		"type": "object", "required": []any{"access_key_id", "secret_access_key"},
		"properties": map[string]any{
			"access_key_id":     map[string]any{"type": "string", "title": "Access key id", "minLength": 1, "maxLength": 128, "writeOnly": false},
			"secret_access_key": secretSchema("Secret access key"),
			"session_token":     secretSchema("Session token"),
		},
	}),
}

func clientIDSchema(title string) map[string]any {
	return map[string]any{"type": "string", "title": title, "minLength": 1, "maxLength": 1024, "writeOnly": false}
}

func secretSchema(title string) map[string]any {
	return map[string]any{"type": "string", "title": title, "minLength": 1, "maxLength": 16384, "writeOnly": true}
}

// defaultValues are the expressions that yield the secret of each kind, for manifests that do not declare value.
var defaultValues = map[AuthKind]string{
	AuthAPIKey: "${ .credentials.api_key }",
	AuthOAuth2: "${ .credentials.access_token }",
	// For these two, access_token is the token fetched for the connection; see AuthMethod.Fetches.
	AuthClientCredentials: "${ .credentials.access_token }",
	AuthJWTBearer:         "${ .credentials.access_token }",
}

func (c *compiler) auth(p *Provider, spec AuthSpec, pointer string) *AuthMethod {
	method := &AuthMethod{
		ID: spec.ID, Kind: spec.Kind, Title: spec.Title, Help: spec.Help, OAuth2: spec.OAuth2, in: spec.In,
		provider: p, public: map[string]bool{},
	}
	credentials, usual := defaultCredentials[spec.Kind]
	if spec.Credentials != nil || !usual {
		credentials = c.object(spec.Credentials, pointerTo(pointer, "credentials"))
	}
	method.Credentials, method.schema = credentials.document, credentials.check
	properties, _ := method.Credentials["properties"].(map[string]any)
	for name, property := range properties {
		if described, ok := property.(map[string]any); ok && described["writeOnly"] == false {
			method.public[name] = true
		}
	}
	if spec.In == "" {
		method.in = "bearer"
	}
	c.oauth(method, spec, pointer)
	method.sigv4 = c.sigv4(spec.SigV4, pointerTo(pointer, "sigv4"))
	method.name = c.optional(spec.Name, pointerTo(pointer, "name"))
	method.value = c.optional(cmp.Or(spec.Value, defaultValues[spec.Kind]), pointerTo(pointer, "value"))
	if spec.Kind == AuthBasic {
		method.username = c.optional(cmp.Or(spec.Username, "${ .credentials.username }"), pointerTo(pointer, "username"))
		method.password = c.optional(cmp.Or(spec.Password, "${ .credentials.password }"), pointerTo(pointer, "password"))
	}
	return method
}

// apply adds the credentials to a request, replacing headers and parameters of the same name. It records where they are, so
// that a redirect to another origin drops them.
func (m *AuthMethod) apply(s *scope, r *Request, query url.Values) error {
	if m.Kind == AuthNone || m.Kind == AuthSigV4 {
		return nil // a signature covers the finished request
	}
	if m.Kind == AuthBasic {
		username, err := m.username.evalString(s)
		if err != nil {
			return err
		}
		password, err := m.password.evalString(s)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", basicAuth(username, password))
		return nil
	}
	value, err := m.value.evalString(s)
	if err != nil {
		return err
	}
	if value == "" {
		return fmt.Errorf("the connection has no credentials")
	}
	if m.in == "bearer" {
		return setHeader(r.Header, "Authorization", "Bearer "+value)
	}
	name, err := m.name.evalString(s)
	if err != nil {
		return err
	}
	if m.in == "query" {
		if name == "" {
			return fmt.Errorf("the name of the credentials' query parameter is empty")
		}
		query.Set(name, value)
		r.SecretQuery = append(r.SecretQuery, name)
		return nil
	}
	r.SecretHeaders = append(r.SecretHeaders, name)
	return setHeader(r.Header, name, value)
}

func setHeader(header http.Header, name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("the credentials are not valid in a header")
	}
	header.Set(name, value)
	return nil
}

func basicAuth(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}
