package providers_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
	"github.com/weftmesh/weft/actors/integration/webhook"
)

// signed is a published delivery with its signature; see webhook/testdata.
type signed struct {
	Provider, Source, Secret, Method, URL, Body string
	Header                                      map[string]string
	At                                          int64
}

func (s signed) request(t testing.TB) webhook.Request {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := webhook.Request{Method: s.Method, URL: s.URL, Header: http.Header{}, Query: u.Query(), Body: []byte(s.Body)}
	for name, value := range s.Header {
		r.Header.Set(name, value)
	}
	return r
}

// TestPublishedDeliveries verifies the deliveries that providers publish by the manifests' schemes.
func TestPublishedDeliveries(t *testing.T) {
	t.Parallel()
	all, faults, err := manifest.LoadFS(providers.FS)
	if err != nil || len(faults) > 0 {
		t.Fatalf("%v, %v", err, faults)
	}
	data, err := os.ReadFile("../webhook/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []signed
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	// The provider http uses Standard Webhooks.
	named := map[string]string{"standard_webhooks": "http"}
	for i, v := range vectors {
		p := all[v.Provider]
		if name := named[v.Provider]; name != "" {
			p = all[name]
		}
		if p == nil || p.Webhook == nil {
			continue
		}
		t.Run(strconv.Itoa(i)+" "+p.ID, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(v.At, 0)
			r := v.request(t)
			if _, err := p.Webhook.Scheme.Verify(r, webhook.Keys{Secrets: []string{v.Secret}}, now); err != nil {
				t.Errorf("%s: %v", v.Source, err)
			}
			if p.Webhook.Scheme.SignsTime() {
				if _, err := p.Webhook.Scheme.Verify(r, webhook.Keys{Secrets: []string{v.Secret}}, now.Add(time.Hour)); !errors.Is(err, webhook.ErrStale) {
					t.Errorf("%s an hour later: %v", v.Source, err)
				}
			}
			r.Body[len(r.Body)/2] ^= 1
			if _, err := p.Webhook.Scheme.Verify(r, webhook.Keys{Secrets: []string{v.Secret}}, now); !errors.Is(err, webhook.ErrSignature) {
				t.Errorf("%s with a modified body: %v", v.Source, err)
			}
		})
	}
}
