package machine

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// Credentials must be obtained before a request can be sent: a token of an authorization server (oauth2, oidc), or the
// response to a challenge (digest). HTTPRequest.Send obtains them.
type Credentials struct {
	// Scheme is language.SchemeDigest, SchemeOAuth2 or SchemeOIDC.
	Scheme string

	values map[string]any
}

func basic(user, password any) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(language.Text(user)+":"+language.Text(password)))
}

// Sender sends one request as it is and returns the response. HTTPRequest.Send returns its errors unchanged.
type Sender func(*HTTPRequest) (HTTPResponse, error)

// Send obtains the credentials that a request needs, sends it, and converts the response to the call's output. nonce is
// an unpredictable string that is used once. The error is that of send, or an *Error.
func (r *HTTPRequest) Send(send Sender, nonce string) (any, error) {
	ready := r
	if r.Credentials != nil {
		var err error
		if r.Credentials.Scheme == language.SchemeDigest {
			ready, err = r.answerChallenge(send, nonce)
		} else {
			ready, err = r.withToken(send)
		}
		if err != nil {
			return nil, err
		}
	}
	answer, err := send(ready)
	if err != nil {
		return nil, err
	}
	output, failure := ready.Response(answer)
	if failure != nil {
		return nil, failure
	}
	return output, nil
}

// answerChallenge sends the request without its body to obtain the challenge of a digest authentication, and returns
// the request with the answer to it. The probe has no body, so that the server cannot act on it.
func (r *HTTPRequest) answerChallenge(send Sender, nonce string) (*HTTPRequest, error) {
	probe := r.withAuthorization("")
	probe.Body = nil
	delete(probe.Headers, "content-type")
	answer, err := send(probe)
	if err != nil {
		return nil, err
	}
	challenge := lowerKeys(answer.Headers)["www-authenticate"]
	if answer.Status != 401 || !strings.HasPrefix(strings.ToLower(challenge), "digest ") {
		// The server does not require digest authentication here.
		return r.withAuthorization(""), nil
	}
	authorization, failure := r.Credentials.digest(r, challenge, nonce)
	if failure != nil {
		return nil, failure
	}
	return r.withAuthorization(authorization), nil
}

// withAuthorization is the request with an Authorization header, unless empty, and without Credentials.
func (r *HTTPRequest) withAuthorization(authorization string) *HTTPRequest {
	ready := *r
	ready.Credentials, ready.Headers = nil, maps.Clone(r.Headers)
	if authorization != "" {
		ready.Headers["authorization"] = authorization
	}
	return &ready
}

// withToken obtains an access token and returns the request with it. The answer is read by what it is; see egress.TokenAnswer. An error has
// nothing of it but the status, because it may contain a token.
func (r *HTTPRequest) withToken(send Sender) (*HTTPRequest, error) {
	c := r.Credentials
	endpoint, err := c.endpoint(send)
	if err != nil {
		return nil, err
	}
	request, failure := c.tokenRequest(endpoint)
	if failure != nil {
		return nil, failure
	}
	answer, err := send(request)
	if err != nil {
		return nil, err
	}
	if _, failure := request.Response(HTTPResponse{Status: answer.Status}); failure != nil {
		return nil, NewError(TypeAuthentication, failure.Detail)
	}
	grant, _ := egress.TokenAnswer(answer.Body)
	token, _ := grant["access_token"].(string)
	if token == "" {
		return nil, NewError(TypeAuthentication, "the authority's response has no access_token")
	}
	if failure := c.checkIssuer(token); failure != nil {
		return nil, failure
	}
	return r.withAuthorization("Bearer " + token), nil
}

// endpoint is the URL of the token endpoint: from OpenID Connect Discovery, or relative to the authority.
func (c *Credentials) endpoint(send Sender) (string, error) {
	authority := language.Text(c.values["authority"])
	located, err := url.Parse(authority)
	if err != nil || located.Scheme != "http" && located.Scheme != "https" || located.Host == "" {
		return "", NewError(TypeConfiguration, "the authority is not an absolute HTTP URL")
	}
	endpoints, _ := c.values["endpoints"].(map[string]any)
	described := isMetadataPath(located.Path)
	if c.Scheme == language.SchemeOAuth2 && (!described || endpoints["token"] != nil) {
		authority = strings.TrimSuffix(authority, "/")
		token := cmp.Or(language.Text(endpoints["token"]), "/oauth2/token")
		if strings.HasPrefix(token, "https://") || strings.HasPrefix(token, "http://") {
			return token, nil
		}
		return authority + "/" + strings.TrimPrefix(token, "/"), nil
	}
	if !described {
		located.Path, located.RawPath = strings.TrimSuffix(located.Path, "/")+"/.well-known/openid-configuration", ""
	}
	discovery := &HTTPRequest{Method: "GET", URL: located.String(), Output: "content",
		Headers: map[string]string{"accept": "application/json"}}
	answer, err := send(discovery)
	if err != nil {
		return "", err
	}
	output, failure := discovery.Response(answer)
	if failure != nil {
		return "", NewError(TypeAuthentication, failure.Detail)
	}
	configuration, _ := output.(map[string]any)
	token, _ := configuration["token_endpoint"].(string)
	if _, err := withQuery(token, nil); err != nil {
		return "", NewError(TypeAuthentication, "the discovery document has no valid token_endpoint")
	}
	return token, nil
}

// isMetadataPath reports whether a path is already that of an authorization server's metadata (OpenID Connect Discovery 1.0
// §4, RFC 8414 §3): it is used as it stands.
func isMetadataPath(path string) bool {
	return strings.Contains(path+"/", "/.well-known/openid-configuration/") ||
		strings.Contains(path+"/", "/.well-known/oauth-authorization-server/")
}

// tokenRequest is the token request by RFC 6749 section 4, with RFC 7523 client assertions or RFC 8693 token exchange.
func (c *Credentials) tokenRequest(endpoint string) (*HTTPRequest, *Error) {
	request := &HTTPRequest{Method: "POST", URL: endpoint, Output: "content", Headers: map[string]string{"accept": "application/json"}}
	client, _ := c.values["client"].(map[string]any)
	fields := map[string]string{"grant_type": language.Text(c.values["grant"])}
	set := func(name string, value any) {
		if text := language.Text(value); text != "" {
			fields[name] = text
		}
	}
	switch language.Text(client["authentication"]) {
	case "client_secret_basic":
		id, secret := url.QueryEscape(language.Text(client["id"])), url.QueryEscape(language.Text(client["secret"]))
		request.Headers["authorization"] = basic(id, secret)
	case "client_secret_jwt", "private_key_jwt":
		set("client_id", client["id"])
		set("client_assertion", client["assertion"])
		fields["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
		if fields["client_assertion"] == "" {
			return nil, NewError(TypeConfiguration, "the client's authentication method requires an assertion")
		}
	case "none":
		set("client_id", client["id"])
	default:
		set("client_id", client["id"])
		set("client_secret", client["secret"])
	}
	set("scope", joinWords(c.values["scopes"]))
	set("audience", joinWords(c.values["audiences"]))
	switch fields["grant_type"] {
	case "password":
		set("username", c.values["username"])
		set("password", c.values["password"])
	case language.GrantTokenExchange:
		for _, name := range []string{"subject", "actor"} {
			token, _ := c.values[name].(map[string]any)
			set(name+"_token", token["token"])
			set(name+"_token_type", token["type"])
		}
	}
	options, _ := c.values["request"].(map[string]any)
	if options["encoding"] == "application/json" {
		request.Headers["content-type"], request.Body = "application/json", language.Canonical(fields)
		return request, nil
	}
	form := url.Values{}
	for name, value := range fields {
		form.Set(name, value)
	}
	request.Headers["content-type"], request.Body = "application/x-www-form-urlencoded", []byte(form.Encode())
	return request, nil
}

func joinWords(value any) string {
	list, _ := value.([]any)
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = language.Text(item)
	}
	return strings.Join(texts, " ")
}

// checkIssuer checks a JWT's iss claim against the issuers that the policy allows, if it names any.
func (c *Credentials) checkIssuer(token string) *Error {
	issuers, _ := c.values["issuers"].([]any)
	if len(issuers) == 0 {
		return nil
	}
	refused := NewError(TypeAuthentication, "the token's issuer is not one of the policy's issuers")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refused
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return refused
	}
	claims, err := language.DecodeStrict(payload)
	object, _ := claims.(map[string]any)
	if err != nil || object["iss"] == nil || !slices.Contains(issuers, object["iss"]) {
		return refused
	}
	return nil
}
