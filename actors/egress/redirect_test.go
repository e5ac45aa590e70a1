package egress_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

// recorder keeps what reached a server, as `METHOD uri header…: body`.
type recorder struct {
	mutex sync.Mutex
	seen  []string
}

func (r *recorder) note(request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	line := request.Method + " " + request.URL.RequestURI()
	for _, name := range []string{"Authorization", "Cookie", "X-Key", "X-Other", "Content-Type"} {
		if value := request.Header.Get(name); value != "" {
			line += " " + name + "=" + value
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.seen = append(r.seen, line+" "+string(body))
}

// redirector answers /to?status=N&at=URL with that redirect and anything else with 200.
func redirector(t *testing.T) (*httptest.Server, *recorder) {
	t.Helper()
	seen := &recorder{}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.note(r)
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

func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	first, firstSaw := redirector(t)
	second, secondSaw := redirector(t)
	// first → second with the key in its Location → back to first.
	back := second.URL + "/hop?api_key=s3cret&keep=1&%61pi_key=s3cret&status=302&at=" + first.URL + "/end"
	call := secretCall(first.URL + "/begin?status=302&at=" + strings.NewReplacer("&", "%26", "%", "%25").Replace(back))
	answer, err := open(t, nil).Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Redirects != 2 || answer.URL != first.URL+"/end" {
		t.Fatalf("got %d redirects to %s", answer.Redirects, answer.URL)
	}
	if len(firstSaw.seen) != 2 || !strings.Contains(firstSaw.seen[0], "Authorization=Bearer s3cret") {
		t.Fatalf("the first server saw %q", firstSaw.seen)
	}
	for _, line := range append(secondSaw.seen, firstSaw.seen[1]) {
		if strings.Contains(line, "s3cret") || !strings.Contains(line, "X-Other=plain") {
			t.Errorf("after the origin was left: %q", line)
		}
	}
	if !strings.Contains(secondSaw.seen[0], "keep=1") {
		t.Errorf("what is no credential was dropped: %q", secondSaw.seen[0])
	}
}

func TestCredentialsGoAlongWithinTheOrigin(t *testing.T) {
	t.Parallel()
	server, saw := redirector(t)
	if _, err := open(t, nil).Do(t.Context(), secretCall(server.URL+"/begin?status=301&at=/end")); err != nil {
		t.Fatal(err)
	}
	if len(saw.seen) != 2 || !strings.Contains(saw.seen[1], "Authorization=Bearer s3cret") || !strings.Contains(saw.seen[1], "X-Key=s3cret") {
		t.Errorf("saw %q", saw.seen)
	}
}

func TestRedirectsByMethodAndStatus(t *testing.T) {
	t.Parallel()
	other, _ := redirector(t)
	for _, c := range []struct {
		method string
		status int
		at     string
		// want is what the last request was; "" means that the redirect itself came back.
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
		server, saw := redirector(t)
		r := egress.Request{Method: c.method, URL: fmt.Sprintf("%s/begin?status=%d&at=%s", server.URL, c.status, c.at)}
		if c.method != "GET" && c.method != "HEAD" {
			r.Body, r.Header = []byte("body"), http.Header{"Content-Type": {"text/plain"}}
		}
		r.Hosts = []string{server.Listener.Addr().String(), other.Listener.Addr().String(), "127.0.0.1"}
		answer, err := open(t, nil).Do(t.Context(), r)
		switch {
		case egress.KindOf(err) != c.kind:
			t.Errorf("%s %d %s: got %v", c.method, c.status, c.at, err)
		case err != nil:
		case c.want == "" && answer.Status != c.status:
			t.Errorf("%s %d: got status %d", c.method, c.status, answer.Status)
		case c.want != "" && saw.seen[len(saw.seen)-1] != c.want:
			t.Errorf("%s %d: the last request was %q", c.method, c.status, saw.seen[len(saw.seen)-1])
		}
	}
}

func TestRedirectsAreFew(t *testing.T) {
	t.Parallel()
	hits := 0
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/again", http.StatusFound)
	})
	var started int
	_, err := open(t, nil).Do(t.Context(), egress.Request{URL: server.URL, Started: func() { started++ }})
	wantKind(t, err, egress.KindRedirect, true)
	if hits != 1+egress.DefaultRedirects || started != 1 {
		t.Errorf("%d requests, started %d times", hits, started)
	}
	answer, err := open(t, nil).Do(t.Context(), egress.Request{URL: server.URL, NoRedirect: true})
	if err != nil || answer.Status != http.StatusFound {
		t.Errorf("got %v", err)
	}
}
