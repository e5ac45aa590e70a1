package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"

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
	rc.writeCookie(http.Cookie{Name: c.Name, Value: value, MaxAge: int(c.MaxAge.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return nil
}

// writeCookie sets a cookie for all paths of this host, and only over TLS where the client used TLS.
func (rc *requestContext) writeCookie(c http.Cookie) {
	c.Path, c.Secure = "/", rc.g.proxies.usedTLS(rc.r)
	c.Name = cookieName(c.Name, c.Secure)
	http.SetCookie(rc.w, &c)
}
