package machine

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// authority is a stub for an authorization server and the service behind it. It records requests.
type authority struct {
	sent   []*HTTPRequest
	answer func(*HTTPRequest) HTTPResponse
}

func (a *authority) send(r *HTTPRequest) (HTTPResponse, error) {
	a.sent = append(a.sent, r)
	return a.answer(r), nil
}

func jsonAnswer(body string) HTTPResponse {
	return HTTPResponse{200, map[string]string{"content-type": "application/json"}, []byte(body)}
}

func TestOAuth2(t *testing.T) {
	t.Parallel()
	unsigned := "x." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://me"}`)) + ".y"
	for name, test := range map[string]struct{ policy, endpoint, authorization, form, token, want string }{
		"post": {`oauth2: {authority: 'https://a.test/r/', grant: client_credentials, client: {id: i, secret: s}, scopes: [a, b], audiences: [c]}`,
			"https://a.test/r/oauth2/token", "", "audience=c&client_id=i&client_secret=s&grant_type=client_credentials&scope=a+b", "tok", "Bearer tok"},
		"basic": {`oauth2: {authority: 'https://a.test', grant: client_credentials, endpoints: {token: /auth/t}, client: {id: 'i:1', secret: s, authentication: client_secret_basic}}`,
			"https://a.test/auth/t", "Basic aSUzQTE6cw==", "grant_type=client_credentials", "tok", "Bearer tok"},
		"absolute endpoint": {`oauth2: {authority: 'https://a.test', grant: client_credentials, endpoints: {token: 'https://b.test/t'}, client: {id: i, authentication: none}}`,
			"https://b.test/t", "", "client_id=i&grant_type=client_credentials", "tok", "Bearer tok"},
		"assertion": {`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i, assertion: j, authentication: private_key_jwt}}`,
			"https://a.test/oauth2/token", "", "client_assertion=j&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_id=i&grant_type=client_credentials", "tok", "Bearer tok"},
		"no assertion": {`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i, authentication: client_secret_jwt}}`,
			"", "", "", "tok", "configuration"},
		"password": {`oauth2: {authority: 'https://a.test', grant: password, username: '${ .q }', password: p}`,
			"https://a.test/oauth2/token", "", "grant_type=password&password=p&username=me", "tok", "Bearer tok"},
		"exchange": {`oauth2: {authority: 'https://a.test', grant: 'urn:ietf:params:oauth:grant-type:token-exchange', subject: {token: t, type: u}, actor: {token: v, type: w}}`,
			"https://a.test/oauth2/token", "", "actor_token=v&actor_token_type=w&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=t&subject_token_type=u", "tok", "Bearer tok"},
		"json": {`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i}, request: {encoding: application/json}}`,
			"https://a.test/oauth2/token", "", `{"client_id":"i","grant_type":"client_credentials"}`, "tok", "Bearer tok"},
		"discovered": {`oidc: {authority: 'https://a.test/r', grant: client_credentials, client: {id: i}}`,
			"https://a.test/found", "", "client_id=i&grant_type=client_credentials", "tok", "Bearer tok"},
		"policy from a secret": {`oauth2: {use: s}`, "https://s.test/oauth2/token", "", "client_id=i&grant_type=client_credentials", "tok", "Bearer tok"},
		"allowed issuer": {`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i}, issuers: ['https://me']}`,
			"https://a.test/oauth2/token", "", "client_id=i&grant_type=client_credentials", unsigned, "Bearer " + unsigned},
		"different issuer": {`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i}, issuers: ['https://you']}`,
			"https://a.test/oauth2/token", "", "client_id=i&grant_type=client_credentials", unsigned, "authentication"},
		"opaque token": {`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i}, issuers: ['https://you']}`,
			"https://a.test/oauth2/token", "", "client_id=i&grant_type=client_credentials", "opaque", "authentication"},
		"no token in the response": {`oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: i}}`,
			"https://a.test/oauth2/token", "", "client_id=i&grant_type=client_credentials", "", "authentication"},
		"invalid authority": {`oauth2: {authority: '${ .q }', grant: client_credentials, client: {id: i}}`, "", "", "", "tok", "configuration"},
	} {
		d := newDriver(t, head+"use: {secrets: [s]}\ndo: [{a: {call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: {"+test.policy+"}}}}}]")
		d.env.Secrets = fixed(map[string]any{"s": map[string]any{"authority": "https://s.test", "grant": "client_credentials", "client": map[string]any{"id": "i"}}})
		call := d.start(map[string]any{"q": "me"}).Calls()[0]
		a := &authority{answer: func(r *HTTPRequest) HTTPResponse {
			switch {
			case strings.HasSuffix(r.URL, "/openid-configuration"):
				return jsonAnswer(`{"token_endpoint":"https://a.test/found"}`)
			case r.Method == "POST":
				return jsonAnswer(`{"access_token":"` + test.token + `","token_type":"bearer"}`)
			}
			return jsonAnswer(`{"done":1}`)
		}}
		_, err := call.HTTP.Send(a.send, "n")
		var failure *Error
		if errors.As(err, &failure) {
			if standardName(failure.Type) != test.want {
				t.Errorf("%s: %v", name, err)
			}
		} else if got := a.sent[len(a.sent)-1].Headers["authorization"]; got != test.want || a.sent[len(a.sent)-1].URL != "https://x.test/" {
			t.Errorf("%s: authorization %q", name, got)
		}
		for _, r := range a.sent {
			if r.Method == "POST" && (r.URL != test.endpoint || string(r.Body) != test.form || r.Headers["authorization"] != test.authorization) {
				t.Errorf("%s: token request to %s with body %q and authorization %q\nwant %s, %q, %q", name, r.URL, r.Body, r.Headers["authorization"], test.endpoint, test.form, test.authorization)
			}
		}
		if test.endpoint != "" && len(a.sent) < 1 || call.HTTP.Headers["authorization"] != "" {
			t.Errorf("%s: %d requests", name, len(a.sent))
		}
	}
}

func TestTokenRequestFails(t *testing.T) {
	t.Parallel()
	request := &HTTPRequest{Method: "GET", URL: "https://x.test/", Headers: map[string]string{}, Credentials: &Credentials{Scheme: "oidc",
		values: map[string]any{"authority": "https://a.test", "grant": "client_credentials"}}}
	for _, answer := range []HTTPResponse{{401, nil, nil}, jsonAnswer(`{}`), jsonAnswer(`{"token_endpoint":"nowhere"}`)} {
		a := &authority{answer: func(*HTTPRequest) HTTPResponse { return answer }}
		_, err := request.Send(a.send, "n")
		var failure *Error
		if !errors.As(err, &failure) || failure.Type != TypeAuthentication || len(a.sent) != 1 {
			t.Errorf("%+v: %v", answer, err)
		}
	}
	broken := errors.New("no route")
	if _, err := request.Send(func(*HTTPRequest) (HTTPResponse, error) { return HTTPResponse{}, broken }, "n"); !errors.Is(err, broken) {
		t.Errorf("error %v, want the sender's", err)
	}
}

// TestDigest uses the example of RFC 7616 section 3.9.1.
func TestDigest(t *testing.T) {
	t.Parallel()
	const nonce, server = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
	for algorithm, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		d := newDriver(t, head+`do: [{a: {call: http, with: {method: post, body: {x: 1}, endpoint: {uri: 'http://www.example.org/dir/index.html', authentication: {digest: {username: Mufasa, password: Circle of Life}}}}}}]`)
		request := d.start(nil).Calls()[0].HTTP
		request.Method = "GET" // as in the example
		a := &authority{answer: func(r *HTTPRequest) HTTPResponse {
			if r.Headers["authorization"] == "" {
				return HTTPResponse{401, map[string]string{"WWW-Authenticate": `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=` + algorithm +
					`, nonce="` + server + `", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`}, nil}
			}
			return jsonAnswer(`{"in":true}`)
		}}
		output, err := request.Send(a.send, nonce)
		if err != nil || len(a.sent) != 2 || a.sent[0].Body != nil || string(a.sent[1].Body) != `{"x":1}` {
			t.Fatalf("%s: %v, %v, %d requests", algorithm, output, err, len(a.sent))
		}
		if got := a.sent[1].Headers["authorization"]; !strings.Contains(got, `response="`+want+`"`) || !strings.Contains(got, `opaque="FQhe/`) {
			t.Errorf("%s: %s", algorithm, got)
		}
	}
	for challenge, want := range map[string]string{
		`Digest realm="r", nonce="n", algorithm=SHA-512-256`: "authentication", `Digest realm="r", nonce="n", qop="auth-int"`: "authentication",
		`Digest realm="r", nonce="n", algorithm=MD5-sess, qop=auth`: "", `Digest realm="r", nonce="n"`: "", `Basic realm="r"`: "communication",
	} {
		request := &HTTPRequest{Method: "GET", URL: "https://x.test/?q=1", Headers: map[string]string{}, Credentials: &Credentials{Scheme: "digest",
			values: map[string]any{"username": "u", "password": "p"}}}
		a := &authority{answer: func(r *HTTPRequest) HTTPResponse {
			if strings.HasPrefix(r.Headers["authorization"], `Digest username="u", realm="r", nonce="n", uri="/?q=1", response="`) {
				return jsonAnswer(`1`)
			}
			return HTTPResponse{401, map[string]string{"www-authenticate": challenge}, nil}
		}}
		_, err := request.Send(a.send, "c")
		got := ""
		var failure *Error
		if errors.As(err, &failure) {
			got = standardName(failure.Type)
		}
		if got != want {
			t.Errorf("%s: %v, want %q", challenge, err, want)
		}
	}
}

func TestOpenAPICredentials(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+`do: [{a: {call: openapi, with: {document: {endpoint: 'https://x.test/o.json'}, operationId: op, authentication: {oauth2: {authority: 'https://a.test', grant: password, username: u, password: p}}}}}]`)
	call := d.start(nil).Calls()[0]
	request, failure := call.OpenAPI.Request(map[string]any{"paths": map[string]any{"/p": map[string]any{"get": map[string]any{"operationId": "op"}}}})
	if failure != nil || request.Credentials == nil || call.OpenAPI.Document.Credentials != nil {
		t.Fatalf("%v: %+v", failure, request)
	}
	if target, err := url.Parse(request.URL); err != nil || target.Path != "/p" {
		t.Errorf("request URL %s", request.URL)
	}
}

// TestTokenAnswers: a token endpoint's answer is read by what it is, and an error quotes nothing of it.
func TestTokenAnswers(t *testing.T) {
	t.Parallel()
	request := &HTTPRequest{Method: "GET", URL: "https://x.test/", Headers: map[string]string{}, Credentials: &Credentials{Scheme: "oauth2",
		values: map[string]any{"authority": "https://a.test", "grant": "client_credentials"}}}
	for _, c := range []struct {
		status     int
		kind, body string
		good       bool
	}{
		{200, "text/plain", "access_token=canary", true}, {200, "application/X-WWW-Form-Urlencoded", "access_token=canary", true},
		{200, "application/json", "\xef\xbb\xbf" + `{"access_token":"canary"}`, true}, {200, "text/html", `{"access_token":"canary"}`, true},
		{200, "application/json", `{"access_token":"canary"`, false}, {200, "application/json", "canary", false},
		{200, "text/xml", "<access_token>canary</access_token>", false}, {400, "application/json", `{"access_token":"canary"}`, false},
	} {
		a := &authority{answer: func(r *HTTPRequest) HTTPResponse {
			if r.Method == "POST" {
				return HTTPResponse{c.status, map[string]string{"content-type": c.kind}, []byte(c.body)}
			}
			return jsonAnswer(`{}`)
		}}
		_, err := request.Send(a.send, "n")
		if (err == nil) != c.good || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: %v", c, err)
		}
		if c.good && a.sent[len(a.sent)-1].Headers["authorization"] != "Bearer canary" {
			t.Errorf("%+v: %v", c, a.sent[len(a.sent)-1].Headers)
		}
	}
}
