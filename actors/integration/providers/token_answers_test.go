package providers_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// tokenMethods calls check for every authentication method of every manifest that makes token requests.
func tokenMethods(t *testing.T, check func(t *testing.T, name string, m *manifest.AuthMethod)) {
	t.Helper()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, id := range providerIDs(t) {
		for _, m := range loaded[id].Auth {
			if m.Kind == manifest.AuthOAuth2 || m.Fetches() && !m.SelfIssues() {
				check(t, id+" "+m.ID, m)
				checked++
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d methods were checked", checked)
	}
}

// tokens reads a token answer of a provider.
func tokens(m *manifest.AuthMethod, status int, contentType, body string) (manifest.Tokens, *manifest.TokenError) {
	got, err := m.Tokens(manifest.Answer{
		Status: status, Header: http.Header{"Content-Type": {contentType}, "Retry-After": {"7"}}, Body: []byte(body), At: hookNow,
	})
	var failed *manifest.TokenError
	errors.As(err, &failed)
	return got, failed
}

// TestOnlyAnInvalidGrantIsFinal: for every provider a connection is given up for invalid_grant and the manifest's documented kin of it,
// and for nothing else that a token endpoint, or something before it, may answer.
func TestOnlyAnInvalidGrantIsFinal(t *testing.T) {
	t.Parallel()
	tokenMethods(t, func(t *testing.T, name string, m *manifest.AuthMethod) {
		t.Helper()
		for _, transient := range []struct {
			status            int
			contentType, body string
		}{
			{400, "application/json", `{"error":"access_denied","error_description":"Rate limit exceeded"}`},
			{400, "application/json", `{"error":"temporarily_unavailable"}`}, {400, "application/json", `{"error":"invalid_request"}`},
			{400, "text/html", `<html>invalid_grant</html>`}, {400, "application/json", `{"error":{"status":"invalid_grant"}}`},
			{401, "application/json", `{"message":"Unauthorized"}`}, {403, "text/html", `<html>Are you a robot?</html>`},
			{403, "text/plain", ``}, {403, "application/json", `{"error":"unauthorized_client"}`}, {404, "text/plain", `not found`},
			{200, "application/json", `{"ok":false,"error":"ratelimited"}`}, {200, "text/html", `<html></html>`},
			{302, "text/html", ``}, {429, "application/json", `{"error":"invalid_grant"}`}, {500, "application/json", `{"error":"invalid_grant"}`},
			{520, "text/html", `<html></html>`},
		} {
			if _, failed := tokens(m, transient.status, transient.contentType, transient.body); failed == nil || failed.Final || failed.RetryAfter != 7*time.Second {
				t.Errorf("%s: %+v: got %+v", name, transient, failed)
			}
		}
		codes := []string{"invalid_grant"}
		if m.OAuth2 != nil {
			codes = append(codes, m.OAuth2.InvalidGrant...)
		}
		for _, code := range codes {
			for _, status := range []int{200, 400, 401, 403} {
				if _, failed := tokens(m, status, "application/json", `{"error":"`+code+`"}`); failed == nil || !failed.Final || failed.Code != code {
					t.Errorf("%s: %d %s: got %+v", name, status, code, failed)
				}
			}
		}
	})
}

// TestTokenAnswersOfEveryProvider: every provider's answer is read by what it is, with any expires_in, and an error quotes nothing.
func TestTokenAnswersOfEveryProvider(t *testing.T) {
	t.Parallel()
	tokenMethods(t, func(t *testing.T, name string, m *manifest.AuthMethod) {
		t.Helper()
		for _, c := range [][2]string{
			{"application/json", `{"access_token":"A-token","refresh_token":"R-token"}`}, {"text/html", `{"access_token":"A-token","refresh_token":"R-token"}`},
			{"application/json", "\xef\xbb\xbf" + `{"access_token":"A-token","refresh_token":"R-token"}`},
			{"text/plain", `access_token=A-token&refresh_token=R-token`}, {"application/X-WWW-Form-Urlencoded", `access_token=A-token&refresh_token=R-token`},
		} {
			if got, failed := tokens(m, 200, c[0], c[1]); failed != nil || got.Access != "A-token" || got.Refresh != "R-token" {
				t.Errorf("%s: %v: %v", name, c, failed)
			}
		}
		none, _ := tokens(m, 200, "application/json", `{"access_token":"A-token"}`)
		for text, want := range map[string]time.Duration{
			`31536000`: 365 * 24 * time.Hour, `"3600"`: time.Hour, `" 3600 "`: time.Hour, `3600.0`: time.Hour, `0`: 0, `-1`: 0, `null`: 0, `"never"`: 0,
		} {
			expected := none.ExpiresAt
			if want > 0 {
				expected = hookNow.Add(want)
			}
			if got, failed := tokens(m, 200, "application/json", `{"access_token":"A-token","expires_in":`+text+`}`); failed != nil || !got.ExpiresAt.Equal(expected) {
				t.Errorf("%s: expires_in %s: %s, want %s, %v", name, text, got.ExpiresAt, expected, failed)
			}
		}
		for _, body := range []string{`<token>A-token</token>`, `{"access_token":"A-token"`, `A-token`, `{"error":"A-token","error_description":"A-token","message":"A-token"}`} {
			for _, status := range []int{200, 400, 401, 403, 500} {
				if _, failed := tokens(m, status, "application/json", body); failed == nil || strings.Contains(failed.Error(), "A-token") {
					t.Errorf("%s: %d %s: %v", name, status, body, failed)
				}
			}
		}
	})
}

// TestSlackUserTokens: an app without a bot gets a user token alone, by either way of signing in, and one with both gets that which the
// way asks for.
func TestSlackUserTokens(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	const user = `"authed_user":{"id":"U1","access_token":"xoxp-user","refresh_token":"user-refresh","expires_in":43200,"scope":"chat:write","token_type":"user"}`
	for _, c := range []struct{ auth, body, access, refresh, scope string }{
		{"oauth2", `{"ok":true,` + user + `}`, "xoxp-user", "user-refresh", "chat:write"},
		{"oauth2", `{"ok":true,"access_token":"xoxb-bot","scope":"files:write","token_type":"bot","authed_user":{"id":"U1"}}`, "xoxb-bot", "", "files:write"},
		{"oauth2", `{"ok":true,"access_token":"xoxb-bot","refresh_token":"bot-refresh","scope":"files:write",` + user + `}`, "xoxb-bot", "bot-refresh", "files:write"},
		{"oauth2_user", `{"ok":true,` + user + `}`, "xoxp-user", "user-refresh", "chat:write"},
		{"oauth2_user", `{"ok":true,"access_token":"xoxb-bot","refresh_token":"bot-refresh","scope":"files:write",` + user + `}`, "xoxp-user", "user-refresh", "chat:write"},
		{"oauth2_user", `{"ok":true,"access_token":"xoxp-next","refresh_token":"next-refresh","expires_in":43200,"token_type":"user"}`, "xoxp-next", "next-refresh", ""},
	} {
		m, _ := loaded["slack"].AuthMethod(c.auth)
		got, failed := tokens(m, 200, "application/json", c.body)
		if failed != nil || got.Access != c.access || got.Refresh != c.refresh || got.Scope != c.scope || (got.Refresh != "") != !got.ExpiresAt.IsZero() && c.refresh != "bot-refresh" {
			t.Errorf("%s %s: got %s %s %s %s, %v", c.auth, c.body, got.Access, got.Refresh, got.Scope, got.ExpiresAt, failed)
		}
	}
	m, _ := loaded["slack"].AuthMethod("oauth2_user")
	address, err := m.AuthorizeURL(manifest.Authorization{Scopes: []string{"chat:write"}})
	if err != nil || !strings.Contains(address, "user_scope=chat%3Awrite") || strings.Contains(address, "&scope=") {
		t.Errorf("%s, %v", address, err)
	}
	if m, _ := loaded["slack"].AuthMethod(""); slices.Contains([]string{"oauth2", "oauth2_user"}, m.ID) {
		t.Errorf("the default is %s", m.ID)
	}
}
