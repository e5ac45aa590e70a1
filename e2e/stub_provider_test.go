package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// stubProviderKey is the API key of the stub provider, in the header X-Shop-Key.
const stubProviderKey = "shop-key-0001"

// stubProvider is an HTTP API that counts calls by path and can hold them back.
type stubProvider struct {
	url string

	mu      sync.Mutex
	replies map[string]string
	calls   map[string]int
	held    map[string]chan struct{}
	// onCall, if set, is called before the response to each call.
	onCall func(path string)
	// slow is how long the calls of paths below /slow/ take; dropped counts those whose caller did not wait.
	slow    time.Duration
	dropped int
}

// startStubProvider serves replies, JSON by path, until the test ends. Other paths return {"path": …}.
func startStubProvider(t testing.TB, replies map[string]string) *stubProvider {
	t.Helper()
	p := &stubProvider{replies: replies, calls: map[string]int{}, held: map[string]chan struct{}{}}
	server := httptest.NewServer(p)
	p.url = server.URL
	t.Cleanup(func() {
		p.releaseAll()
		server.Close()
	})
	return p
}

// ServeHTTP implements http.Handler.
func (p *stubProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Shop-Key") != stubProviderKey {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := r.URL.Path
	p.mu.Lock()
	p.calls[path]++
	held, onCall := p.held[path], p.onCall
	reply, known := p.replies[path]
	p.mu.Unlock()
	if onCall != nil {
		onCall(path)
	}
	if strings.HasPrefix(path, "/slow/") {
		select {
		case <-time.After(p.slow):
		case <-r.Context().Done():
			p.mu.Lock()
			p.dropped++
			p.mu.Unlock()
			return
		}
	}
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
			return
		}
	}
	if !known {
		reply = `{"path":"` + path + `"}`
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(reply))
}

// hold holds back the responses to calls of path until release.
func (p *stubProvider) hold(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[path] == nil {
		p.held[path] = make(chan struct{})
	}
}

// release sends the responses that are held back, and those of later calls at once.
func (p *stubProvider) release(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[path] != nil {
		close(p.held[path])
		delete(p.held, path)
	}
}

func (p *stubProvider) releaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, held := range p.held {
		close(held)
		delete(p.held, path)
	}
}

// count returns the number of calls of path.
func (p *stubProvider) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[path]
}

// connection is the request body that connects to the stub as the provider http.
func (p *stubProvider) connection(label string) map[string]any {
	return map[string]any{
		"provider": "http", "label": label, "auth": "header",
		"settings":    map[string]any{"base_url": p.url, "key_name": "X-Shop-Key", "health_path": "/health"},
		"credentials": map[string]any{"api_key": stubProviderKey},
	}
}

// connect connects the account of a client to the stub.
func (p *stubProvider) connect(t testing.TB, c *client, label string) (integrationID string) {
	t.Helper()
	return c.must(t, 201, "POST", "/v1/integrations", p.connection(label)).text(".id")
}
