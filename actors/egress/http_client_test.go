package egress_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

func TestHTTPClientAppliesGuards(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", r.Method+" "+r.Header.Get("X-Sent")+" "+string(body))
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("short"))
	})
	client := newClient(t, nil).HTTPClient()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Sent", "header")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(body) != "short" || response.StatusCode != http.StatusTeapot || response.Header.Get("X-Got") != "POST header body" {
		t.Errorf("got %s, %q, %q, %v", response.Status, response.Header.Get("X-Got"), body, err)
	}
	get := func(c *http.Client, url string) (status int, err error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Do(request)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	if status, err := get(client, server.URL+"/redirect"); err != nil || status != http.StatusFound {
		t.Errorf("a redirect: %d, %v", status, err)
	}
	public := newClient(t, func(o *egress.Options) { o.Allow = nil }).HTTPClient()
	if _, err := get(public, server.URL); egress.KindOf(err) != egress.KindBlocked {
		t.Errorf("a non-public address: %v", err)
	}
	limited := newClient(t, func(o *egress.Options) { o.MaxBody = 4 }).HTTPClient()
	if _, err := get(limited, server.URL); egress.KindOf(err) != egress.KindTooLarge {
		t.Errorf("a response over the limit: %v", err)
	}
}

func TestHTTPClientReportsBodyErrors(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := newServer(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	client := newClient(t, nil).HTTPClient()
	errBody := errors.New("body failed")
	for name, body := range map[string]io.ReadCloser{
		"read":  io.NopCloser(errReader{errBody}),
		"close": errCloser{strings.NewReader("x"), errBody},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		if !errors.Is(err, errBody) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

type errCloser struct {
	io.Reader
	err error
}

func (c errCloser) Close() error { return c.err }

func TestHTTPClientRemovesAByteOrderMark(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		_, _ = io.WriteString(w, "\xef\xbb\xbf{}")
	})
	client := newClient(t, nil).HTTPClient()
	for kind, want := range map[string]string{"application/json": "{}", "application/octet-stream": "\xef\xbb\xbf{}"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"?type="+kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("%s: got %q, %v", kind, body, err)
		}
	}
}
