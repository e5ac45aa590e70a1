package e2e_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// A browser keeps its session in cookies: it signs in, reads a stream, changes its profile, loses the access token, and signs out.
func TestBrowserSession(t *testing.T) {
	t.Parallel()
	weft := startWeft(t, t.TempDir())
	account := `{"email": "ada@example.com", "password": "correct horse battery"}`
	newClient(weft.ready.HTTP).must(t, 202, "POST", "/v1/auth/register", account)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	origin, err := url.Parse(weft.ready.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	cookie := func(name string) string {
		for _, c := range jar.Cookies(origin) {
			if c.Name == name {
				return c.Value
			}
		}
		return ""
	}
	send := func(status int, method, path, body string, header ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, weft.ready.HTTP+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", weft.ready.HTTP)
		r.Header.Set("Weft-CSRF", cookie("weft_csrf"))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		response, err := (&http.Client{Jar: jar}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		if response.StatusCode != status {
			text, _ := io.ReadAll(response.Body)
			t.Fatalf("%s %s: %s %s", method, path, response.Status, text)
		}
		return response
	}
	send(200, "POST", "/v1/auth/login", account, "Weft-Session: cookie")
	send(200, "GET", "/v1/users/me", "")
	send(403, "PATCH", "/v1/users/me", `{"first_name": "Ada"}`, "Weft-CSRF: x")
	send(403, "PATCH", "/v1/users/me", `{"first_name": "Ada"}`, "Origin: https://evil.example")
	send(200, "PATCH", "/v1/users/me", `{"first_name": "Ada"}`)
	// The access token's cookie ends before the session: the gateway refreshes it, also for an EventSource.
	before := cookie("weft_refresh")
	jar.SetCookies(origin, []*http.Cookie{{Name: "weft_session", Path: "/", MaxAge: -1}})
	stream := send(200, "GET", "/v1/notifications/stream", "", "Accept: text/event-stream")
	if line, err := bufio.NewReader(stream.Body).ReadString('\n'); err != nil || line == "" {
		t.Errorf("the stream begins with %q: %v", line, err)
	}
	if cookie("weft_session") == "" || cookie("weft_refresh") == before {
		t.Error("the session was not refreshed")
	}
	send(200, "POST", "/v1/auth/token/refresh", "")
	kept := jar.Cookies(origin)
	send(204, "POST", "/v1/auth/logout", "{}")
	if len(jar.Cookies(origin)) != 0 {
		t.Errorf("after logout the cookies are %v", jar.Cookies(origin))
	}
	jar.SetCookies(origin, kept) // as a copy of them would be used
	send(401, "GET", "/v1/users/me", "")
}
