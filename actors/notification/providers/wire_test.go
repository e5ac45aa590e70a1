package providers_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// answer is what a wire answers.
type answer struct {
	status int
	header map[string]string
	body   string
}

// recorded is a request that a wire got.
type recorded struct {
	method, path, proto string
	header              http.Header
	body                []byte
}

// wire is a provider's API on this machine: HTTP/2 with TLS, under a certificate that only the test's client knows.
type wire struct {
	*httptest.Server

	client *egress.Client

	mu sync.Mutex
	// handle answers a request for a message; token one for an access token.
	handle   http.HandlerFunc
	token    http.HandlerFunc
	requests []recorded
	tokens   []recorded
}

// tokenPath is where a wire gives access tokens.
const tokenPath = "/oauth/token"

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{}
	w.answer(answer{status: 200})
	w.token = func(rw http.ResponseWriter, _ *http.Request) {
		write(rw, answer{200, nil, `{"access_token":"ya29.token","expires_in":3599}`})
	}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.EnableHTTP2 = true
	w.StartTLS()
	t.Cleanup(w.Close)
	roots := x509.NewCertPool()
	roots.AddCert(w.Certificate())
	w.client = newClient(t, roots)
	return w
}

func newClient(t *testing.T, roots *x509.CertPool) *egress.Client {
	t.Helper()
	client, err := egress.New(egress.Options{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (w *wire) deps() providers.Deps { return providers.Deps{Client: w.client, Now: time.Now} }

func (w *wire) serve(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	request := recorded{method: r.Method, path: r.URL.Path, proto: r.Proto, header: r.Header.Clone(), body: body}
	w.mu.Lock()
	handle := w.handle
	if r.URL.Path == tokenPath {
		handle = w.token
		w.tokens = append(w.tokens, request)
	} else {
		w.requests = append(w.requests, request)
	}
	w.mu.Unlock()
	handle(rw, r)
}

func write(rw http.ResponseWriter, a answer) {
	for name, value := range a.header {
		rw.Header().Set(name, value)
	}
	rw.WriteHeader(a.status)
	_, _ = io.WriteString(rw, a.body)
}

// answer sets the answer to requests for messages.
func (w *wire) answer(a answer) {
	a.header = maps.Clone(a.header)
	w.respond(func(rw http.ResponseWriter, _ *http.Request) { write(rw, a) })
}

// respond sets the handler of requests for messages.
func (w *wire) respond(handle http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handle = handle
}

// taken returns the requests for messages since the last call.
func (w *wire) taken() []recorded {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests := w.requests
	w.requests = nil
	return requests
}
