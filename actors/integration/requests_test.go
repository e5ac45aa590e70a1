package integration_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// sentRequest is a request as the provider received it.
type sentRequest struct{ target, contentType, body string }

// recording starts an API that records requests other than GET /.
func recording(t *testing.T) (*httptest.Server, func() sentRequest) {
	t.Helper()
	seen := make(chan sentRequest, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/base/" {
			seen <- sentRequest{r.RequestURI, r.Header.Get("Content-Type"), string(body)}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{}`)
	}))
	t.Cleanup(server.Close)
	return server, func() sentRequest {
		select {
		case r := <-seen:
			return r
		default:
			return sentRequest{}
		}
	}
}

// raw calls an endpoint with a request of raw JSON.
func raw[Req, Res any](t *testing.T, b *fixture, e subjects.Endpoint[Req, Res], as mesh.As, request string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), e.Describe().Timeout)
	defer cancel()
	header := map[string][]string{mesh.HeaderAuthorization: {"Bearer " + as.Token}}
	_, err := b.caller.Forward(ctx, e.Subject, header, []byte(request))
	return err
}

// TestPathsAndNumbersArriveAsGiven: the proxy and the actions of http send percent-encoding, and the digits of numbers, as they are
// given; what needs encoding is encoded; and no path leads out of the base URL.
func TestPathsAndNumbersArriveAsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	server, sent := recording(t)
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "http", Auth: "none", Settings: map[string]any{"base_url": server.URL + "/base"},
	})
	for path, want := range map[string]string{
		"/projects/équipe%2Fapp": "/base/projects/%C3%A9quipe%2Fapp", "/projects/my group%2Fapp": "/base/projects/my%20group%2Fapp",
		"/tel/%2B49 30": "/base/tel/%2B49%2030", "/a%2fb%3Fc%23d": "/base/a%2fb%3Fc%23d", "/a//b": "/base/a//b", "//evil.example/x": "/base//evil.example/x",
		"/100%25": "/base/100%25", "/a%252Fb": "/base/a%252Fb", "/%5B1%5D[2]": "/base/%5B1%5D%5B2%5D",
		"/items?cursor=abc": "", "/items#top": "", "/../x": "", "/%2e%2e/x": "", "/a%2F..%2F..%2Fx": "", "/a/..%5cx": "", "/100%": "", "/%252e%252e/x": "",
	} {
		encoded, _ := json.Marshal(path)
		for name, request := range map[string]func() error{
			"proxy": func() error {
				return raw(t, b, subjects.ProxyCall, ada, `{"integration_id":"`+c.ID+`","method":"GET","path":`+string(encoded)+`}`)
			},
			"action": func() error {
				return raw(t, b, subjects.ExecuteAction, ada, `{"integration_id":"`+c.ID+`","action":"get","input":{"path":`+string(encoded)+`}}`)
			},
		} {
			err, got := request(), sent()
			if want == "" {
				field := map[string]string{"proxy": "path", "action": "input.path"}[name]
				if subjects.CodeOf(err) != subjects.CodeInvalid || got.target != "" || !strings.Contains(err.Error(), field+": must have no") &&
					!strings.Contains(err.Error(), field+": must begin") && !strings.Contains(err.Error(), field+": has a %") {
					t.Errorf("%s of %s: got %v, %q", name, path, err, got.target)
				}
			} else if err != nil || got.target != want {
				t.Errorf("%s of %s: sent %s, %v, want %s", name, path, got.target, err, want)
			}
		}
	}
	for _, n := range []string{"7615917337495251231", "1234567890123456.789", "0.1000", "1E3", "123456789012345678901234567890"} {
		for name, request := range map[string]func() error{
			"proxy": func() error {
				return raw(t, b, subjects.ProxyCall, ada, `{"integration_id":"`+c.ID+`","method":"POST","path":"/x","query":{"n":`+n+`,"list":[`+n+`]},"body":{"n":`+n+`}}`)
			},
			"action": func() error {
				return raw(t, b, subjects.ExecuteAction, ada, `{"integration_id":"`+c.ID+`","action":"post","input":{"path":"/x","query":{"n":`+n+`,"list":[`+n+`]},"body":{"n":`+n+`}}}`)
			},
		} {
			if err, got := request(), sent(); err != nil || got.target != "/base/x?list="+n+"&n="+n || got.body != `{"n":`+n+`}` {
				t.Errorf("%s of %s: sent %s with %s, %v", name, n, got.target, got.body, err)
			}
		}
	}
}

// TestBodiesFollowTheContentType: what is sent as a form, or as a text, is one.
func TestBodiesFollowTheContentType(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	server, sent := recording(t)
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
		Provider: "http", Auth: "none", Settings: map[string]any{"base_url": server.URL + "/base"},
	})
	const form = "application/x-www-form-urlencoded"
	for _, test := range []struct{ contentType, body, want string }{
		{form, `"a=1&b=%20"`, "a=1&b=%20"}, {form, `{"b":"x y&","a":[1,2],"n":7615917337495251231,"none":null}`, "a=1&a=2&b=x+y%26&n=7615917337495251231"},
		{"Application/X-WWW-Form-Urlencoded; charset=UTF-8", `{"a":true}`, "a=true"}, {form, `{"a":{"b":1}}`, ""}, {form, `[1]`, ""}, {form, `7`, ""},
		{"text/plain", `"<a> & b"`, "<a> & b"}, {"application/xml", `"<a/>"`, "<a/>"}, {"text/csv", `{"a":1}`, ""}, {"text/plain; charset=iso-8859-1", `"é"`, "\xe9"},
		{"text/plain; charset=iso-8859-1", `"€"`, "\x80"}, {"text/plain; charset=iso-8859-1", `"日"`, ""}, {"text/plain; charset=nonsense", `"a"`, ""},
		{"application/json", `"a"`, `"a"`}, {"application/vnd.api+json", `{"a":"<"}`, `{"a":"<"}`}, {"", `"a"`, `"a"`}, {"application/x-ndjson", `"{}\n{}"`, "{}\n{}"},
		{"not a type", `"a"`, ""},
	} {
		headers := `{}`
		if test.contentType != "" {
			headers = `{"content-type":"` + test.contentType + `"}`
		}
		for name, request := range map[string]func() error{
			"proxy": func() error {
				return raw(t, b, subjects.ProxyCall, ada, `{"integration_id":"`+c.ID+`","method":"POST","path":"/x","headers":`+headers+`,"body":`+test.body+`}`)
			},
			"action": func() error {
				return raw(t, b, subjects.ExecuteAction, ada, `{"integration_id":"`+c.ID+`","action":"post","input":{"path":"/x","headers":`+headers+`,"body":`+test.body+`}}`)
			},
		} {
			err, got := request(), sent()
			if test.want == "" {
				if subjects.CodeOf(err) != subjects.CodeInvalid || got.target != "" || !strings.Contains(err.Error(), "body: ") {
					t.Errorf("%s of %s as %s: got %v, %+v", name, test.body, test.contentType, err, got)
				}
			} else if err != nil || got.body != test.want || test.contentType != "" && got.contentType != test.contentType {
				t.Errorf("%s of %s as %s: sent %+v, %v", name, test.body, test.contentType, got, err)
			}
		}
	}
	err := raw(t, b, subjects.ProxyCall, ada, `{"integration_id":"`+c.ID+`","method":"POST","path":"/x","headers":{"Content-Type":"multipart/form-data"},"body":{"a":"1","b":{"c":2},"d":["x","y"]}}`)
	got := sent()
	_, parameters, _ := mime.ParseMediaType(got.contentType)
	parts, e := multipart.NewReader(strings.NewReader(got.body), parameters["boundary"]).ReadForm(1 << 20)
	if err != nil || e != nil || parts.Value["a"][0] != "1" || parts.Value["b"][0] != `{"c":2}` || len(parts.Value["d"]) != 2 {
		t.Errorf("multipart: sent %+v, %v, %v", got, err, e)
	}
}

// TestProxyFormsFollowTheProvidersConvention: a provider whose actions name nested members of forms a[b] gets them so by proxy.
func TestProxyFormsFollowTheProvidersConvention(t *testing.T) {
	t.Parallel()
	server, sent := recording(t)
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["stripe"] = integration.ProviderConfig{BaseURL: server.URL}
	}))
	_, ada := b.user(t)
	c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: "stripe", Credentials: subjects.SecretMap{"token": "sk_test_0123456789"}})
	sent() // the health probe
	err := raw(t, b, subjects.ProxyCall, ada, `{"integration_id":"`+c.ID+`","method":"POST","path":"/v1/prices","headers":{"Content-Type":"application/x-www-form-urlencoded"},"body":{"recurring":{"interval":"month"},"expand":["product"]}}`)
	if got := sent(); err != nil || got.body != "expand%5B0%5D=product&recurring%5Binterval%5D=month" {
		t.Errorf("sent %+v, %v", got, err)
	}
}

// TestAnswersAreReadAsTheyAreEncoded: charsets and content codings of answers are decoded, for callers of actions and of the proxy and
// where the body becomes an object; what cannot be decoded is an error that says why.
func TestAnswersAreReadAsTheyAreEncoded(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := zlib.NewWriter(&zipped)
	_, _ = io.WriteString(z, "a;b\n")
	_ = z.Close()
	v := newFakeProvider(t, respond(200, `{}`))
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	for _, test := range []struct{ contentType, coding, body, want string }{
		{"application/json; charset=ISO-8859-15", "", "{\"a\":\"\xa4\"}", `"body":{"a":"€"}`}, {"text/csv; charset=latin1", "", "caf\xe9", `"body":"café"`},
		{"text/csv", "deflate", zipped.String(), `"body":"a;b\n"`}, {"image/png", "", "\x89PNG", `"base64":true`},
		{"text/csv", "", "caf\xe9", "error: not UTF-8"}, {"text/csv", "br", "\x0b\x01\x80a;b\x03", "error: br"}, {"text/csv", "zstd", "x", "error: zstd"},
	} {
		v.setHandler(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", test.contentType)
			if test.coding != "" {
				w.Header().Set("Content-Encoding", test.coding)
			}
			_, _ = io.WriteString(w, test.body)
		})
		result, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteAction, action(c.ID, "get", `{"path":"/x"}`), ada)
		reply, proxyErr := mesh.Call(t.Context(), b.caller, subjects.ProxyCall, subjects.ProxyRequest{IntegrationID: c.ID, Method: "GET", Path: "/x"}, ada)
		whole, _ := json.Marshal(reply)
		if named, fails := strings.CutPrefix(test.want, "error: "); fails {
			for _, err := range []error{err, proxyErr} {
				if subjects.CodeOf(err) != subjects.CodeProvider || !strings.Contains(err.Error(), named) {
					t.Errorf("%s in %s: %v", test.contentType, test.coding, err)
				}
			}
			continue
		}
		if err != nil || proxyErr != nil || !strings.Contains(string(result.Output), test.want) || !strings.Contains(string(whole), test.want) {
			t.Errorf("%s in %s: %s, %s, %v, %v", test.contentType, test.coding, result.Output, whole, err, proxyErr)
		}
	}
	v.setHandler(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		w.Header().Set("Content-Encoding", "deflate")
		_, _ = w.Write(zipped.Bytes())
	})
	reply := call(t, b, subjects.ProxyCall, ada, subjects.ProxyRequest{IntegrationID: c.ID, Method: "GET", Path: "/x.csv", ToObject: true})
	if reply.Object == nil || reply.Object.Size != 4 || reply.Headers["content-encoding"] != "" {
		t.Errorf("the stored object is %+v", reply.Object)
	}
}

// TestConnectionGivesWhatEveryCallNeeds: PagerDuty requires the header From of calls that change something. It is the input's, or the
// connection's; without both the error names the field, and nothing is sent.
func TestConnectionGivesWhatEveryCallNeeds(t *testing.T) {
	t.Parallel()
	var probe atomic.Pointer[string]
	v := newFakeProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, *probe.Load())
			return
		}
		_, _ = io.WriteString(w, `{"note":{"id":"N1","content":"c"},"incident":{"id":"I1"}}`)
	})
	b := setup(t, actortest.Databases(t)[0], withConfig(func(c *integration.Config) {
		c.Providers["pagerduty"] = integration.ProviderConfig{BaseURL: v.URL}
	}))
	_, ada := b.user(t)
	for i, test := range []struct {
		probe    string
		settings map[string]any
		input    string
		want     string
	}{
		{`{"user":{"id":"U1","name":"Ada","email":"ada@example.com"}}`, nil, ``, "ada@example.com"},
		{`{"user":{"id":"U1","name":"Ada","email":"ada@example.com"}}`, map[string]any{"from": "desk@example.com"}, ``, "desk@example.com"},
		{`{"user":{"id":"U1"}}`, map[string]any{"from": "desk@example.com"}, `,"from":"me@example.com"`, "me@example.com"},
		{`{"user":{"id":"U1","name":"Ada"}}`, nil, ``, ""},
	} {
		probe.Store(&test.probe)
		c := call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{
			Provider: "pagerduty", Label: strconv.Itoa(i), Settings: test.settings, Credentials: subjects.SecretMap{"token": "u+0123456789"},
		})
		for name, input := range map[string]string{
			"create_incident": `{"title":"t","service_id":"S1"`, "update_incident": `{"id":"I1","title":"t"`, "add_incident_note": `{"id":"I1","content":"c"`,
		} {
			before := len(v.requests())
			request := action(c.ID, name, input+test.input+"}")
			if test.want == "" {
				e := wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, ada, request)
				if len(e.Fields) != 1 || e.Fields[0].Field != "input.from" || len(v.requests()) != before {
					t.Errorf("%s without From: %+v", name, e)
				}
				continue
			}
			if _, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteAction, request, ada); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			seen := v.requests()
			if got := seen[len(seen)-1].header.Get("From"); got != test.want {
				t.Errorf("%s: From is %q, want %s", name, got, test.want)
			}
		}
	}
}

// TestRequiredHeadersHaveValues: a header that a manifest takes from a field of the input is required of it, or has a default.
func TestRequiredHeadersHaveValues(t *testing.T) {
	t.Parallel()
	for id := range everyProvider(t) {
		file, err := providers.FS.Open(id + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		source, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range m.Actions {
			headers, _ := a.Headers.(map[string]any)
			for header, value := range headers {
				text, _ := value.(string)
				field, simple := strings.CutPrefix(strings.TrimSuffix(strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "${"), "}")), " "), " .input.")
				if !simple {
					continue
				}
				required, _ := a.Input["required"].([]any)
				if !slices.Contains(required, any(field)) {
					t.Errorf("%s %s: the header %s is sent only if the input has %s", id, name, header, field)
				}
			}
		}
	}
}
