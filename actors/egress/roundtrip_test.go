package egress_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
)

func TestALibrarysRequestsAreGuarded(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", r.Method+" "+r.Header.Get("X-Sent")+" "+string(body))
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("short"))
	})
	client := open(t, nil).HTTPClient()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Sent", "header")
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "short" || answer.StatusCode != http.StatusTeapot || answer.Header.Get("X-Got") != "POST header body" {
		t.Errorf("got %s, %q, %q, %v", answer.Status, answer.Header.Get("X-Got"), body, err)
	}
	get := func(c *http.Client, url string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Do(request)
	}
	away, err := get(client, server.URL+"/away")
	if err != nil || away.StatusCode != http.StatusFound {
		t.Fatalf("a redirect: %v, %v", away, err)
	}
	_ = away.Body.Close()
	strict, err := egress.New(egress.Options{AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	refusal, err := get(strict.HTTPClient(), server.URL)
	if err == nil {
		_ = refusal.Body.Close()
	}
	var refused *egress.Error
	if !errors.As(err, &refused) || refused.Kind != egress.KindBlocked {
		t.Errorf("an address that is not public: %v", err)
	}
	short := open(t, func(o *egress.Options) { o.MaxBody = 4 }).HTTPClient()
	refusal, err = get(short, server.URL)
	if err == nil {
		_ = refusal.Body.Close()
	}
	if !errors.As(err, &refused) || refused.Kind != egress.KindTooLarge {
		t.Errorf("an answer past its bound: %v", err)
	}
}
