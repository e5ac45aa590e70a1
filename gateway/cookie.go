package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// hostPrefix begins the name of a cookie that a browser takes from this very host, over TLS, alone: neither a
// sibling domain nor whoever is on an unencrypted line can plant one (RFC 6265bis §4.1.3.2).
const hostPrefix = "__Host-"

// secure tells whether the client came over TLS: to us, or to a trusted proxy that says so.
func (o origins) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if len(o.trusted) == 0 {
		return false
	}
	peer := origins{}.address(r)
	return peer.IsValid() && o.trusts(peer) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func cookieName(name string, secure bool) string {
	if secure {
		return hostPrefix + name
	}
	return name
}

// cookies are a request's cookies of a name.
func (b *builder) cookies(r *http.Request, name string) []string {
	var values []string
	for _, c := range r.CookiesNamed(cookieName(name, b.origins.secure(r))) {
		values = append(values, c.Value)
	}
	return values
}

// setCookie keeps a reply's field in the client's browser.
func (x *exchange) setCookie(c *subjects.Cookie, reply []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(reply, &values); err != nil {
		return fmt.Errorf("reading the reply: %w", err)
	}
	var value string
	if err := json.Unmarshal(values[c.Field], &value); err != nil {
		return fmt.Errorf("reading field %s: %w", c.Field, err)
	}
	secure := x.g.origins.secure(x.r)
	http.SetCookie(x.w, &http.Cookie{ //nolint:gosec // Secure where the client came over TLS
		Name: cookieName(c.Name, secure), Value: value, Path: "/", MaxAge: int(c.MaxAge.Seconds()),
		Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return nil
}
