package integration

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/subjects"
)

// The states of a hook.
const (
	hookPending = "pending"
	hookActive  = "active"
)

// What became of a delivery, as metrics count it.
const (
	deliveryAccepted  = "accepted"
	deliveryDuplicate = "duplicate"
	deliveryHandshake = "handshake"
	deliveryRefused   = "refused"
	deliveryStale     = "stale"
	deliveryNoSecret  = "no_secret"
	deliveryMalformed = "malformed"
	deliveryUnknown   = "unknown_hook"
	deliveryFailed    = "failed"
)

// newSecret makes a hook's secret in the form that its vendor takes.
func newSecret(spec webhook.SecretSpec) string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails: see crypto/rand
	switch {
	case spec.Form == "base64" || spec.Encoding == "base64":
		return spec.Prefix + base64.StdEncoding.EncodeToString(random)
	case spec.Encoding == "hex":
		return spec.Prefix + hex.EncodeToString(random)
	case spec.Form == "basic":
		return "weft:" + base64.RawURLEncoding.EncodeToString(random)
	}
	return spec.Prefix + base64.RawURLEncoding.EncodeToString(random)
}

// hookKey is what a hook remembers of a delivery: of one size whatever the vendor sent.
func hookKey(kind, text string) string {
	sum := sha256.Sum256([]byte(kind + "\n" + text))
	return hex.EncodeToString(sum[:])
}

// hookPath is a hook's address below the gateway's.
func hookPath(h hookRow) string { return "/v1/hooks/" + h.Provider + "/" + h.ID }

// resource is the hook as its owner sees it. secret is shown where it is not empty.
func (a *Actor) hookResource(w *manifest.Webhook, h hookRow, secret string) subjects.Hook {
	r := subjects.Hook{
		ID: h.ID, IntegrationID: h.ConnectionID, Provider: h.Provider, Label: h.Label, Status: hookActive, Secret: secret,
		URL: a.hookURL(h), CreatedAt: time.UnixMicro(h.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(h.UpdatedAt).UTC(),
	}
	if w != nil {
		r.SecretFrom, r.Help = w.Scheme.Secret.From, w.Help
		if name := w.Scheme.InQuery(); name != "" && secret != "" {
			r.URL += "?" + url.Values{name: {secret}}.Encode()
		}
	}
	if h.Secret == nil {
		r.Status = hookPending
	}
	if h.OldSecret != nil && h.oldUntil().After(a.Now()) {
		until := h.oldUntil()
		r.OldSecretUntil = &until
	}
	if h.ReceivedAt != 0 {
		at := time.UnixMicro(h.ReceivedAt).UTC()
		r.ReceivedAt = &at
	}
	return r
}

func (a *Actor) hookURL(h hookRow) string {
	return strings.TrimSuffix(a.config.PublicURL, "/") + hookPath(h)
}

// deliveryOf is a delivery as its scheme verifies it.
func (a *Actor) deliveryOf(h hookRow, method, query string, headers map[string][]string, body []byte) (webhook.Request, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return webhook.Request{}, subjects.Errorf(subjects.CodeInvalid, "the query is malformed")
	}
	r := webhook.Request{
		Method: method, URL: a.hookURL(h), Query: values, Body: body, Header: make(http.Header, len(headers)),
	}
	if query != "" {
		r.URL += "?" + query
	}
	for name, list := range headers {
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = append(r.Header[name], list...)
	}
	return r, nil
}

// mayShakeHands tells whether a handshake may still bring a hook's secret.
func (a *Actor) mayShakeHands(h hookRow) bool {
	return h.OpenedAt != 0 && a.Now().Sub(time.UnixMicro(h.OpenedAt)) <= a.config.Webhooks.HandshakeWithin
}
