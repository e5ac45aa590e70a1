package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/singleflight"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// The cookies of a browser session. sessionCookie and refreshCookie are HttpOnly; csrfCookie is for the page to read. Their values:
//
//	weft_session  nonce.access token
//	weft_refresh  nonce.device token.refresh token
//	weft_csrf     the hash of the nonce, which the page repeats in headerCSRF
//
// The nonce is made at sign-in and kept as long as the session. It makes the CSRF token a property of the session that nobody can
// derive who cannot read HttpOnly cookies, so that a planted weft_csrf is of no use.
const (
	sessionCookie = "weft_session"
	refreshCookie = "weft_refresh"
	csrfCookie    = "weft_csrf"
)

const (
	// headerSession asks, with the value cookieMode, for the tokens of a sign-in as cookies.
	headerSession = "Weft-Session"
	cookieMode    = "cookie"
	// headerCSRF carries the CSRF token of a request that may change something.
	headerCSRF = "Weft-Csrf"
	// browserSessionAge is how long a browser keeps the refresh token. The auth actor decides how long the session lasts.
	browserSessionAge = 30 * 24 * time.Hour
)

// browserSession is the session that a request's cookies carry.
type browserSession struct {
	nonce, refresh, device string
	// refreshed is the reply of an exchange of the refresh token during this request; nil if there was none.
	refreshed *subjects.Session
}

// browserSessions exchanges refresh tokens. Concurrent requests with one token share an exchange; between gateways the auth actor
// gives the same successor to the same device.
type browserSessions struct{ inFlight singleflight.Group }

// safeMethod reports whether a method changes nothing (RFC 9110 §9.2.1).
func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// cookieValue returns the value of the only cookie of a name; "" if there is none or more than one.
func (rc *requestContext) cookieValue(name string) string {
	values := rc.g.proxies.cookieValues(rc.r, name)
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// identifyByCookie sets the caller from the cookies of a request without an Authorization header. A request that may come from
// another site stays anonymous, with authErr set.
func (rc *requestContext) identifyByCookie() {
	if len(rc.r.Header["Cookie"]) == 0 {
		return
	}
	nonce, access, _ := strings.Cut(rc.cookieValue(sessionCookie), ".")
	parts := strings.SplitN(rc.cookieValue(refreshCookie), ".", 3)
	s := &browserSession{nonce: nonce}
	if len(parts) == 3 && (nonce == "" || parts[0] == nonce) {
		s.nonce, s.device, s.refresh = parts[0], parts[1], parts[2]
	}
	if s.nonce == "" {
		return
	}
	if err := rc.checkSameOrigin(); err != nil {
		rc.caller.authErr = err
		return
	}
	if !safeMethod(rc.r.Method) {
		values := rc.r.Header[headerCSRF]
		if len(values) != 1 || subtle.ConstantTimeCompare([]byte(values[0]), []byte(csrfToken(s.nonce))) != 1 {
			rc.caller.authErr = subjects.Errorf(subjects.CodeForbidden,
				"a request with a session cookie must repeat the cookie %s in the header Weft-CSRF", csrfCookie)
			return
		}
	}
	rc.caller.browser = s
	if access == "" {
		return
	}
	claims, err := rc.g.Verifier.Verify(rc.ctx, access)
	if err != nil {
		rc.caller.authErr = err
		return
	}
	rc.caller.token, rc.caller.user, rc.caller.claims = access, claims.Subject, claims
}

// checkSameOrigin rejects a request that a page of another origin may have made: by Sec-Fetch-Site, which no page can set, or else,
// because browsers send it only to trustworthy origins, by Origin. An address that the user typed has the site "none".
func (rc *requestContext) checkSameOrigin() error {
	refused := subjects.Errorf(subjects.CodeForbidden, "session cookies are accepted only from pages of this origin")
	safe := safeMethod(rc.r.Method)
	if sites := rc.r.Header["Sec-Fetch-Site"]; len(sites) > 0 {
		if len(sites) == 1 && (sites[0] == "same-origin" || safe && sites[0] == "none") {
			return nil
		}
		return refused
	}
	scheme := "http"
	if rc.g.proxies.usedTLS(rc.r) {
		scheme = "https"
	}
	origins := rc.r.Header["Origin"]
	if len(origins) == 0 && safe || len(origins) == 1 && origins[0] == scheme+"://"+rc.r.Host {
		return nil
	}
	return refused
}

// csrfToken derives the CSRF token from a session's nonce.
func csrfToken(nonce string) string {
	sum := sha256.Sum256([]byte("weft csrf " + nonce))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// renewBrowserSession exchanges the refresh token if the access token is missing or no longer valid. A session that has ended leaves
// the caller anonymous and removes the cookies; the returned error is CodeRateLimited, CodeUnavailable or CodeTimeout.
func (rc *requestContext) renewBrowserSession(ctx context.Context) error {
	s := rc.caller.browser
	if rc.caller.user != "" || s.refresh == "" {
		return nil
	}
	if rc.caller.authErr != nil && subjects.CodeOf(rc.caller.authErr) != subjects.CodeUnauthenticated {
		return nil
	}
	return rc.exchangeRefreshToken(ctx)
}

func (rc *requestContext) exchangeRefreshToken(ctx context.Context) error {
	s := rc.caller.browser
	if err := rc.g.limits.takePerIP(ctx, rc); err != nil {
		return err
	}
	session, err := rc.g.browserSessions.exchange(ctx, rc, s)
	if err == nil {
		var claims mesh.Claims
		if claims, err = rc.g.Verifier.Verify(ctx, session.AccessToken); err == nil {
			rc.caller.token, rc.caller.user, rc.caller.claims, rc.caller.authErr = session.AccessToken, claims.Subject, claims, nil
			session.DeviceToken = cmp.Or(session.DeviceToken, s.device)
			rc.setSessionCookies(s.nonce, &session)
			s.refreshed = &session
			return nil
		}
	}
	switch subjects.CodeOf(err) {
	case subjects.CodeUnauthenticated, subjects.CodeInvalid:
		rc.clearSessionCookies()
		rc.caller.authErr = subjects.Errorf(subjects.CodeUnauthenticated, "the session has ended; sign in again")
		return nil
	case subjects.CodeForbidden:
		rc.caller.authErr = err
		return nil
	}
	return err
}

// hasSessionCookies reports whether a request without an Authorization header carries a refresh token in a cookie.
func (rc *requestContext) hasSessionCookies() bool {
	return len(rc.r.Header["Authorization"]) == 0 && rc.cookieValue(refreshCookie) != ""
}

// refreshBrowserSession answers a request to refresh the session of its cookies, unless it was refreshed for this request already.
func (rt *route) refreshBrowserSession(ctx context.Context, rc *requestContext) error {
	s := rc.caller.browser
	if s != nil && s.refreshed == nil && s.refresh != "" && rc.caller.user != "" {
		if err := rc.exchangeRefreshToken(ctx); err != nil {
			return err
		}
	}
	if s != nil && s.refreshed != nil {
		return rt.writeSession(rc, *s.refreshed)
	}
	if rc.caller.authErr != nil {
		return rc.caller.authErr
	}
	return subjects.Errorf(subjects.CodeUnauthenticated, "the cookies carry no session; sign in again")
}

// exchange calls the auth actor with the request's address and user agent, by which it recognises the device. A request that is
// canceled does not cancel the exchange for the others.
func (b *browserSessions) exchange(ctx context.Context, rc *requestContext, s *browserSession) (subjects.Session, error) {
	sum := sha256.Sum256([]byte(s.refresh))
	agent := rc.r.UserAgent()
	header := nats.Header{
		mesh.HeaderClientIP:  {rc.caller.address.String()},
		mesh.HeaderUserAgent: {agent[:min(len(agent), maxUserAgent)]},
	}
	g, d := rc.g, subjects.RefreshToken.Describe()
	request := subjects.RefreshTokenRequest{RefreshToken: s.refresh, DeviceToken: s.device}
	result := b.inFlight.DoChan(string(sum[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Timeout+replyMargin)
		defer cancel()
		data, err := subjects.Encode(request)
		if err != nil {
			return subjects.Session{}, fmt.Errorf("encoding a request for %s: %w", d.Name(), err)
		}
		if err := d.Validate(data); err != nil {
			return subjects.Session{}, err
		}
		reply, err := g.forward(ctx, d, header, data, false)
		if err != nil {
			return subjects.Session{}, err
		}
		var session subjects.Session
		if err := json.Unmarshal(reply.Data, &session); err != nil {
			return subjects.Session{}, fmt.Errorf("decoding a reply of %s: %w", d.Name(), err)
		}
		return session, nil
	})
	select {
	case r := <-result:
		session, _ := r.Val.(subjects.Session)
		return session, r.Err
	case <-ctx.Done():
		return subjects.Session{}, &subjects.Error{Code: subjects.CodeTimeout, Detail: "the session was not refreshed in time", Cause: ctx.Err()}
	}
}

// wantsCookies reports whether the tokens of a sign-in go into cookies. A request that asks for them must come from a page of this
// origin, so that no other page can sign a browser in to an account of its choice.
func (rc *requestContext) wantsCookies() (bool, error) {
	values := rc.r.Header[headerSession]
	if len(values) == 0 {
		return false, nil
	}
	if len(values) > 1 || values[0] != cookieMode {
		return false, subjects.InvalidField(headerSession, "expected %s", cookieMode)
	}
	return true, rc.checkSameOrigin()
}

// replyWithCookies writes the reply of a sign-in, with its tokens as cookies instead of in the body. A reply that asks for a second
// factor has none.
func (rt *route) replyWithCookies(rc *requestContext, reply []byte) error {
	var session subjects.Session
	if err := json.Unmarshal(reply, &session); err != nil {
		return fmt.Errorf("decoding the reply of %s: %w", rt.d.Name(), err)
	}
	if session.AccessToken != "" {
		rc.w.Header().Del("Set-Cookie") // of a session that the sign-in replaces
		rc.setSessionCookies(rand.Text(), &session)
	}
	return rt.writeSession(rc, session)
}

// writeSession writes a session without its tokens.
func (rt *route) writeSession(rc *requestContext, session subjects.Session) error {
	session.AccessToken, session.RefreshToken, session.TokenType = "", "", ""
	data, err := subjects.Encode(session)
	if err != nil {
		return fmt.Errorf("encoding the reply of %s: %w", rt.d.Name(), err)
	}
	rc.write(rt.d.Status, typeJSON, data)
	return nil
}

// setSessionCookies sets the cookies of a session.
func (rc *requestContext) setSessionCookies(nonce string, s *subjects.Session) {
	rc.writeCookie(sessionCookie, nonce+"."+s.AccessToken, time.Duration(s.ExpiresIn)*time.Second, true, http.SameSiteStrictMode)
	rc.writeCookie(refreshCookie, nonce+"."+s.DeviceToken+"."+s.RefreshToken, browserSessionAge, true, http.SameSiteStrictMode)
	rc.writeCookie(csrfCookie, csrfToken(nonce), browserSessionAge, false, http.SameSiteStrictMode)
}

// clearSessionCookies removes the cookies of a session, also those that this response has set before.
func (rc *requestContext) clearSessionCookies() {
	rc.w.Header().Del("Set-Cookie")
	rc.writeCookie(sessionCookie, "", -time.Second, true, http.SameSiteStrictMode)
	rc.writeCookie(refreshCookie, "", -time.Second, true, http.SameSiteStrictMode)
	rc.writeCookie(csrfCookie, "", -time.Second, false, http.SameSiteStrictMode)
}
