package egress_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

// recorder records the requests of a server as `METHOD uri header=value… body`.
type recorder struct {
	mu       sync.Mutex
	requests []string
}

func (r *recorder) record(request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	line := request.Method + " " + request.URL.RequestURI()
	for _, name := range []string{"Authorization", "Cookie", "X-Key", "X-Other", "Content-Type"} {
		if value := request.Header.Get(name); value != "" {
			line += " " + name + "=" + value
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, line+" "+string(body))
}

// redirector responds to /path?status=N&at=URL with that redirect, and to anything else with 200.
func redirector(t *testing.T) (*httptest.Server, *recorder) {
	t.Helper()
	seen := &recorder{}
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		seen.record(r)
		if at := r.URL.Query().Get("at"); at != "" {
			var status int
			_, _ = fmt.Sscan(r.URL.Query().Get("status"), &status)
			w.Header().Set("Location", at)
			w.WriteHeader(status)
		}
	})
	return server, seen
}

func secretCall(url string) egress.Request {
	return egress.Request{
		URL:           url,
		Header:        http.Header{"Authorization": {"Bearer s3cret"}, "Cookie": {"a=s3cret"}, "X-Key": {"s3cret"}, "X-Other": {"plain"}},
		SecretHeaders: []string{"x-key"}, SecretQuery: []string{"api_key"},
	}
}

func TestCrossOriginRedirectDropsCredentials(t *testing.T) {
	t.Parallel()
	first, firstSeen := redirector(t)
	second, secondSeen := redirector(t)
	// first → second, whose Location contains the key → first.
	back := second.URL + "/hop?api_key=s3cret&keep=1&%61pi_key=s3cret&status=302&at=" + first.URL + "/end"
	call := secretCall(first.URL + "/begin?status=302&at=" + strings.NewReplacer("&", "%26", "%", "%25").Replace(back))
	response, err := newClient(t, nil).Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if response.Redirects != 2 || response.URL != first.URL+"/end" {
		t.Fatalf("got %d redirects to %s", response.Redirects, response.URL)
	}
	if len(firstSeen.requests) != 2 || !strings.Contains(firstSeen.requests[0], "Authorization=Bearer s3cret") {
		t.Fatalf("the first server got %q", firstSeen.requests)
	}
	for _, line := range append(secondSeen.requests, firstSeen.requests[1]) {
		if strings.Contains(line, "s3cret") || !strings.Contains(line, "X-Other=plain") {
			t.Errorf("after the redirect left the origin: %q", line)
		}
	}
	if !strings.Contains(secondSeen.requests[0], "keep=1") {
		t.Errorf("a parameter that is no credential was dropped: %q", secondSeen.requests[0])
	}
}

func TestSameOriginRedirectKeepsCredentials(t *testing.T) {
	t.Parallel()
	server, seen := redirector(t)
	if _, err := newClient(t, nil).Do(t.Context(), secretCall(server.URL+"/begin?status=301&at=/end")); err != nil {
		t.Fatal(err)
	}
	if len(seen.requests) != 2 || !strings.Contains(seen.requests[1], "Authorization=Bearer s3cret") || !strings.Contains(seen.requests[1], "X-Key=s3cret") {
		t.Errorf("got %q", seen.requests)
	}
}

func TestRedirectsByMethodAndStatus(t *testing.T) {
	t.Parallel()
	other, _ := redirector(t)
	for _, c := range []struct {
		method string
		status int
		at     string
		// want is the last request; "" means that the redirect itself is returned.
		want string
		kind egress.Kind
	}{
		{"GET", 302, "/end", "GET /end ", ""},
		{"HEAD", 303, "/end", "HEAD /end ", ""},
		{"POST", 301, "/end", "", ""},
		{"POST", 302, "/end", "", ""},
		{"DELETE", 302, "/end", "", ""},
		{"POST", 303, "/end", "GET /end ", ""},
		{"POST", 307, "/end", "POST /end Content-Type=text/plain body", ""},
		{"PUT", 308, "/end", "PUT /end Content-Type=text/plain body", ""},
		{"POST", 307, other.URL, "", egress.KindRedirect},
		{"GET", 304, "/end", "", ""},
		{"GET", 302, "http://user:pw@127.0.0.1/", "", egress.KindInvalid},
		{"GET", 302, "ftp://127.0.0.1/", "", egress.KindScheme},
		{"GET", 302, "http://127.0.0.2:1/", "", egress.KindHost},
	} {
		server, seen := redirector(t)
		r := egress.Request{Method: c.method, URL: fmt.Sprintf("%s/begin?status=%d&at=%s", server.URL, c.status, c.at)}
		if c.method != "GET" && c.method != "HEAD" {
			r.Body, r.Header = []byte("body"), http.Header{"Content-Type": {"text/plain"}}
		}
		r.Hosts = []string{server.Listener.Addr().String(), other.Listener.Addr().String(), "127.0.0.1"}
		response, err := newClient(t, nil).Do(t.Context(), r)
		switch {
		case egress.KindOf(err) != c.kind:
			t.Errorf("%s %d %s: got %v", c.method, c.status, c.at, err)
		case err != nil:
		case c.want == "" && response.Status != c.status:
			t.Errorf("%s %d: got status %d", c.method, c.status, response.Status)
		case c.want != "" && seen.requests[len(seen.requests)-1] != c.want:
			t.Errorf("%s %d: the last request was %q", c.method, c.status, seen.requests[len(seen.requests)-1])
		}
	}
}

func TestRedirectLimit(t *testing.T) {
	t.Parallel()
	hits := 0
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/again", http.StatusFound)
	})
	var started int
	_, err := newClient(t, nil).Do(t.Context(), egress.Request{URL: server.URL, Started: func() { started++ }})
	wantKind(t, err, egress.KindRedirect, true)
	if hits != 1+egress.DefaultRedirects || started != 1 {
		t.Errorf("%d requests; Started was called %d times", hits, started)
	}
	response, err := newClient(t, nil).Do(t.Context(), egress.Request{URL: server.URL, NoRedirect: true})
	if err != nil || response.Status != http.StatusFound {
		t.Errorf("got %v", err)
	}
}

func TestStandardCredentialHeadersAreDropped(t *testing.T) {
	t.Parallel()
	var header http.Header
	target := newServer(t, func(_ http.ResponseWriter, r *http.Request) { header = r.Header })
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL, http.StatusTemporaryRedirect)
	})
	// Header names are matched without regard to case.
	_, err := newClient(t, nil).Do(t.Context(), egress.Request{
		URL: server.URL, SecretHeaders: []string{"x-api-KEY"},
		Header: http.Header{
			"Authorization": {"a"}, "Cookie": {"b=c"}, "Proxy-Authorization": {"d"}, "X-Api-Key": {"e"}, "Accept": {"text/plain"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key"} {
		if value := header.Get(name); value != "" {
			t.Errorf("%s: %s reached another origin", name, value)
		}
	}
	if header.Get("Accept") != "text/plain" || header.Get("User-Agent") != "weft" {
		t.Errorf("got %v", header)
	}
}

// A redirect that drops the body drops the headers that describe it.
func TestRedirectWithoutBodyDropsContentHeaders(t *testing.T) {
	t.Parallel()
	var header http.Header
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			header = r.Header
			return
		}
		http.Redirect(w, r, "/end", http.StatusSeeOther)
	})
	_, err := newClient(t, nil).Do(t.Context(), egress.Request{
		Method: "POST", URL: server.URL + "/begin", Body: []byte("body"),
		Header: http.Header{"Content-Type": {"text/plain"}, "Content-Encoding": {"identity"}, "X-Other": {"kept"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Length"} {
		if value := header.Get(name); value != "" {
			t.Errorf("%s: %s was sent without a body", name, value)
		}
	}
	if header.Get("X-Other") != "kept" {
		t.Errorf("got %v", header)
	}
}

func TestRedirectToPlainHTTP(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	plain := newServer(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	server := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(server.Close)
	client := newClient(t, func(o *egress.Options) {
		o.AllowHTTP, o.TLS = false, server.Client().Transport.(*http.Transport).TLSClientConfig
	})
	_, err := client.Do(t.Context(), egress.Request{URL: server.URL})
	wantKind(t, err, egress.KindScheme, true)
	if requests.Load() != 0 {
		t.Error("the plain http server was called")
	}
}

func TestUnusableLocationIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"", "http://[::1", "%zz"} {
		server := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			if location != "" {
				w.Header().Set("Location", location)
			}
			w.WriteHeader(http.StatusFound)
		})
		response, err := newClient(t, nil).Do(t.Context(), egress.Request{URL: server.URL})
		if err != nil || response.Status != http.StatusFound || response.Redirects != 0 {
			t.Errorf("Location %q: got %+v, %v", location, response, err)
		}
	}
}

func TestNegativeRedirectLimitFollowsNone(t *testing.T) {
	t.Parallel()
	server, seen := redirector(t)
	client := newClient(t, func(o *egress.Options) { o.MaxRedirects = -1 })
	_, err := client.Do(t.Context(), egress.Request{URL: server.URL + "/begin?status=302&at=/end"})
	wantKind(t, err, egress.KindRedirect, true)
	if len(seen.requests) != 1 {
		t.Errorf("got %q", seen.requests)
	}
}
