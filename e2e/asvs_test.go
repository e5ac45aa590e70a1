package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// TestASVSLevel2Configuration starts weft with deploy/asvs-level-2.yaml and checks that its settings take effect.
func TestASVSLevel2Configuration(t *testing.T) {
	t.Parallel()
	sink, settings := mailServer(t)
	up := upProgram(t, t.TempDir(), settings...)
	up.args = append(up.args, "--config", "../deploy/asvs-level-2.yaml")
	c := newClient(startProgram(t, up).ready.HTTP)
	account := map[string]any{"email": "ada@example.com", "password": password}
	login := func(status int) answer { return c.must(t, status, http.MethodPost, "/v1/auth/login", account) }

	c.must(t, http.StatusAccepted, http.MethodPost, "/v1/auth/register", account)
	login(http.StatusUnauthorized)
	verification, _ := awaitMail(t, sink, "ada@example.com", "Verify your e-mail address").takeToken(t)
	c.must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/email/verify", map[string]any{"token": verification})

	session := login(http.StatusOK)
	if session.text(".enrollment_required") != "true" {
		t.Fatalf("login without a second factor: %s", session)
	}
	c.token = session.text(".access_token")
	c.must(t, http.StatusForbidden, http.MethodGet, "/v1/users/me", nil)
	enrolled := c.must(t, http.StatusCreated, http.MethodPost, "/v1/auth/mfa/totp", map[string]any{"password": password})
	code := func(at time.Time) string {
		shown, err := totp.GenerateCode(enrolled.text(".secret"), at)
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	confirm := func(at time.Time) answer {
		a, err := c.do(t.Context(), http.MethodPost, "/v1/auth/mfa/totp/confirm", []byte(`{"code":"`+code(at)+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if late := confirm(time.Now().Add(-30 * time.Second)); late.status != http.StatusBadRequest || late.text(".errors[0].field") != "code" {
		t.Fatalf("the previous TOTP code: %s", late)
	}
	// The current code may expire before the request arrives.
	var confirmed answer
	err := eventually(func() (bool, string) {
		confirmed = confirm(time.Now())
		return confirmed.status == http.StatusOK, confirmed.String()
	})
	if err != nil {
		t.Fatal(err)
	}

	c.token = ""
	pending := login(http.StatusOK)
	session = c.must(t, http.StatusOK, http.MethodPost, "/v1/auth/mfa/verify", map[string]any{
		"mfa_token": pending.text(".mfa_token"), "code": confirmed.text(".recovery_codes[0]"),
	})
	c.token = session.text(".access_token")
	c.must(t, http.StatusOK, http.MethodGet, "/v1/users/me", nil)
	sessions := c.must(t, http.StatusOK, http.MethodGet, "/v1/auth/sessions", nil)
	lifetimes := `[.items[] | select(.current) | (.created_at, .idle_at, .expires_at) | sub("\\.[0-9]+"; "") | fromdate] | [.[1] - .[0], .[2] - .[0]]`
	if got := sessions.text(lifetimes); got != "[1800,43200]" {
		t.Errorf("idle and total session lifetime are %s seconds: %s", got, sessions)
	}
}
