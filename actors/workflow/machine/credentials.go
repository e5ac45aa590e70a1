package machine

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Credentials are what has to be got before a request can be sent: a token of an authority (oauth2, oidc), or the
// answer to a challenge (digest). HTTPRequest.Send gets them.
type Credentials struct {
	// Scheme is language.SchemeDigest, SchemeOAuth2 or SchemeOIDC.
	Scheme string

	values map[string]any
}

func basic(user, password any) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(language.Text(user)+":"+language.Text(password)))
}

// Sender sends one request as it is and gives the answer. The errors that it returns come out of HTTPRequest.Send.
type Sender func(*HTTPRequest) (HTTPResponse, error)

// Send gets the credentials that a request needs, sends it, and makes the call's output of the answer. nonce is a text
// that nobody can guess and nobody has used. The error is that of send, or an *Error.
func (r *HTTPRequest) Send(send Sender, nonce string) (any, error) {
	ready := r
	if r.Credentials != nil {
		var err error
		if r.Credentials.Scheme == language.SchemeDigest {
			ready, err = r.challenged(send, nonce)
		} else {
			ready, err = r.granted(send)
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

// Challenge is the request by which the challenge of a digest authentication is asked for: without the body, which the
// server is not to act on yet.
func (r *HTTPRequest) challenged(send Sender, nonce string) (*HTTPRequest, error) {
	probe := r.with("")
	probe.Body = nil
	delete(probe.Headers, "content-type")
	answer, err := send(probe)
	if err != nil {
		return nil, err
	}
	challenge := lower(answer.Headers)["www-authenticate"]
	if answer.Status != 401 || !strings.HasPrefix(strings.ToLower(challenge), "digest ") {
		// The server wants no digest here: it gets the request as it is.
		return r.with(""), nil
	}
	authorization, failure := r.Credentials.digest(r, challenge, nonce)
	if failure != nil {
		return nil, failure
	}
	return r.with(authorization), nil
}

// with is the request with an authorization and without credentials to get.
func (r *HTTPRequest) with(authorization string) *HTTPRequest {
	ready := *r
	ready.Credentials, ready.Headers = nil, maps.Clone(r.Headers)
	if authorization != "" {
		ready.Headers["authorization"] = authorization
	}
	return &ready
}

// granted gets a token and puts it into the request.
func (r *HTTPRequest) granted(send Sender) (*HTTPRequest, error) {
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
	output, failure := request.Response(answer)
	if failure != nil {
		denied := NewError(TypeAuthentication, failure.Detail)
		return nil, denied
	}
	grant, _ := output.(map[string]any)
	token, _ := grant["access_token"].(string)
	if token == "" {
		return nil, NewError(TypeAuthentication, "the authority gave no access_token")
	}
	if failure := c.issued(token); failure != nil {
		return nil, failure
	}
	return r.with("Bearer " + token), nil
}

// endpoint is the URL of the token endpoint: by OpenID Connect discovery, or below the authority.
func (c *Credentials) endpoint(send Sender) (string, error) {
	authority := strings.TrimSuffix(language.Text(c.values["authority"]), "/")
	if _, err := withQuery(authority, nil); err != nil {
		return "", NewError(TypeConfiguration, "the authority is not an absolute HTTP URL")
	}
	if c.Scheme == language.SchemeOAuth2 {
		endpoints, _ := c.values["endpoints"].(map[string]any)
		token := cmp.Or(language.Text(endpoints["token"]), "/oauth2/token")
		if strings.HasPrefix(token, "https://") || strings.HasPrefix(token, "http://") {
			return token, nil
		}
		return authority + "/" + strings.TrimPrefix(token, "/"), nil
	}
	discovery := &HTTPRequest{Method: "GET", URL: authority + "/.well-known/openid-configuration", Output: "content",
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
		return "", NewError(TypeAuthentication, "the authority names no token endpoint")
	}
	return token, nil
}

// tokenRequest asks an authority for a token by RFC 6749 section 4, RFC 7523 or RFC 8693.
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
			return nil, NewError(TypeConfiguration, "the client needs an assertion to authenticate with")
		}
	case "none":
		set("client_id", client["id"])
	default:
		set("client_id", client["id"])
		set("client_secret", client["secret"])
	}
	set("scope", words(c.values["scopes"]))
	set("audience", words(c.values["audiences"]))
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

func words(value any) string {
	list, _ := value.([]any)
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = language.Text(item)
	}
	return strings.Join(texts, " ")
}

// issued checks who has issued a token, where the policy says who may.
func (c *Credentials) issued(token string) *Error {
	issuers, _ := c.values["issuers"].([]any)
	if len(issuers) == 0 {
		return nil
	}
	refused := NewError(TypeAuthentication, "the token is not of an issuer that the policy names")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refused
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return refused
	}
	claims, err := language.Decode(payload)
	object, _ := claims.(map[string]any)
	if err != nil || object["iss"] == nil || !slices.Contains(issuers, object["iss"]) {
		return refused
	}
	return nil
}
