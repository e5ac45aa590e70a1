package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// providerKey is the key that the stand-in asks for, in the header X-Shop-Key.
const providerKey = "shop-key-0001"

// provider stands in for somebody's API. It counts calls by path, and can hold them.
type provider struct {
	url string

	mu      sync.Mutex
	replies map[string]string
	calls   map[string]int
	held    map[string]chan struct{}
	// onCall, when set, sees every call before it is answered.
	onCall func(path string)
}

// startProvider serves replies (JSON by path) until the test ends; what has none gets {"path": …}.
func startProvider(t testing.TB, replies map[string]string) *provider {
	t.Helper()
	p := &provider{replies: replies, calls: map[string]int{}, held: map[string]chan struct{}{}}
	server := httptest.NewServer(p)
	p.url = server.URL
	t.Cleanup(func() {
		p.releaseAll()
		server.Close()
	})
	return p
}

// ServeHTTP implements http.Handler.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Shop-Key") != providerKey {
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

// hold makes calls of path wait until release.
func (p *provider) hold(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[path] == nil {
		p.held[path] = make(chan struct{})
	}
}

// release answers the calls that wait, and those to come.
func (p *provider) release(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[path] != nil {
		close(p.held[path])
		delete(p.held, path)
	}
}

func (p *provider) releaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, held := range p.held {
		close(held)
		delete(p.held, path)
	}
}

// count is how many calls of path have come.
func (p *provider) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[path]
}

// connection is the request that connects to the stand-in as the provider http.
func (p *provider) connection(label string) map[string]any {
	return map[string]any{
		"provider": "http", "label": label, "auth": "header",
		"settings":    map[string]any{"base_url": p.url, "key_name": "X-Shop-Key", "health_path": "/health"},
		"credentials": map[string]any{"api_key": providerKey},
	}
}

// connect connects the caller to the stand-in.
func (p *provider) connect(t testing.TB, c *client, label string) (integrationID string) {
	t.Helper()
	return c.must(t, 201, "POST", "/v1/integrations", p.connection(label)).text(".id")
}
