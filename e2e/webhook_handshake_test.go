package e2e_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// TestHandshakesOverHTTP makes the requests by which providers verify a hook's address, through the gateway: GET and HEAD of every
// provider that declares one of them, and a POST.
func TestHandshakesOverHTTP(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":{}}`))
	}))
	t.Cleanup(api.Close)
	cases := []struct{ provider, auth, credentials, query, method string }{
		{"trello", "", `{"key":"0123456789abcdef0123456789abcdef","token":"ATTA0123456789abcdef0123456789abcdef"}`, "", "HEAD GET"},
		{"intercom", "", `{"token":"token-0123456789"}`, "", "HEAD GET"},
		{"mailchimp", "", `{"api_key":"0123456789abcdef0123456789abcdef-us21"}`, "", "GET HEAD"},
		{"dropbox", "", `{"token":"token-0123456789"}`, "?challenge=c1", "GET HEAD"},
		{"x_twitter", "", `{"access_token":"token-0123456789"}`, "?crc_token=c1", "GET HEAD"},
		{"microsoft_teams", "", `{"token":"token-0123456789"}`, "?validationToken=c1", "POST"},
	}
	covered := map[string]bool{}
	environment := []string{"WEFT_METRICS_PORT=-1"}
	for _, c := range cases {
		covered[c.provider] = true
		environment = append(environment, "WEFT_INTEGRATION_PROVIDERS_"+strings.ToUpper(c.provider)+"_BASE_URL="+api.URL)
	}
	for _, id := range retrievingProviders(t) {
		if !covered[id] {
			t.Errorf("%s declares a handshake by GET or HEAD and has no case", id)
		}
	}
	up := upProgram(t, t.TempDir(), environment...)
	up.args[slices.Index(up.args, "--http")+1] = freePort(t)
	weft := startProgram(t, up)
	ada, _ := signUp(t, weft.ready.HTTP)
	sender := newClient(weft.ready.HTTP)
	// A byte order mark before a request's JSON is ignored.
	ada.must(t, 404, "POST", "/v1/integrations/00000000-0000-7000-8000-000000000000/hooks", "\xef\xbb\xbf{}")
	for _, c := range cases {
		made := ada.must(t, 201, "POST", "/v1/integrations", `{"provider":"`+c.provider+`","credentials":`+c.credentials+`}`)
		request := `{}`
		if c.provider != "mailchimp" && c.provider != "microsoft_teams" {
			request = `{"secret":"hook-secret-0123456789"}`
		}
		hook := ada.must(t, 201, "POST", "/v1/integrations/"+made.text(".id")+"/hooks", request)
		u, err := url.Parse(hook.text(".url"))
		if err != nil {
			t.Fatal(err)
		}
		for method := range strings.FieldsSeq(c.method) {
			a := sender.must(t, 200, method, u.Path+c.query, nil)
			if body := string(a.body); method == http.MethodHead && body != "" || method != http.MethodHead && c.query != "" && body == "" {
				t.Errorf("%s %s: the body is %q", method, c.provider, body)
			}
		}
	}
}

// retrievingProviders are the shipped providers with a handshake by GET or HEAD.
func retrievingProviders(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(providers.FS, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, file := range files {
		source, err := fs.ReadFile(providers.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		if m.Webhook != nil && slices.ContainsFunc(m.Webhook.Handshakes, func(h manifest.HandshakeSpec) bool {
			return h.Method == http.MethodGet || h.Method == http.MethodHead
		}) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}
