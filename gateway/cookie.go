package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// hostPrefix begins the name of a cookie that a browser accepts only over TLS and only from this host. Neither a sibling
// domain nor an attacker on an unencrypted connection can set one (RFC 6265bis §4.1.3.2).
const hostPrefix = "__Host-"

func cookieName(name string, secure bool) string {
	if secure {
		return hostPrefix + name
	}
	return name
}

// cookieValues returns the values of the request's cookies of a name.
func (t trustedProxies) cookieValues(r *http.Request, name string) []string {
	var values []string
	for _, c := range r.CookiesNamed(cookieName(name, t.usedTLS(r))) {
		values = append(values, c.Value)
	}
	return values
}

// setCookie sets a field of the reply as a cookie.
func (rc *requestContext) setCookie(c *subjects.Cookie, reply []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(reply, &values); err != nil {
		return fmt.Errorf("decoding the reply: %w", err)
	}
	var value string
	if err := json.Unmarshal(values[c.Field], &value); err != nil {
		return fmt.Errorf("decoding field %s: %w", c.Field, err)
	}
	rc.writeCookie(c.Name, value, c.MaxAge, true, http.SameSiteLaxMode)
	return nil
}

// writeCookie sets a cookie for all paths of this host, and only over TLS where the client used TLS.
func (rc *requestContext) writeCookie(name, value string, age time.Duration, httpOnly bool, sameSite http.SameSite) {
	secure := rc.g.proxies.usedTLS(rc.r)
	http.SetCookie(rc.w, &http.Cookie{ //nolint:gosec // Secure is set if the client used TLS; the page must read its CSRF token
		Name: cookieName(name, secure), Value: value, Path: "/", MaxAge: int(age.Seconds()), Secure: secure, HttpOnly: httpOnly, SameSite: sameSite,
	})
}
