package auth_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/actortest"
)

// answerWith is a handler of token requests with a fixed answer. A status of 0 sends the text in place of an HTTP response.
func answerWith(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if status == 0 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, body)
				_ = conn.Close()
			}
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TestTokenAnswersAreNeverQuoted signs in by a provider whose token endpoint answers strangely: what can be read is used whatever its
// Content-Type says, and of what cannot be read nothing is in an error or in the log at any level.
func TestTokenAnswersAreNeverQuoted(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0], withGitHub)
	logged := &bytes.Buffer{}
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	b.log = zap.New(zapcore.NewCore(
		zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(logged)), zap.DebugLevel))
	b.actor = b.start()
	g := gitHubOf(b.config)
	const token = "gho_canary"
	for i, c := range []struct {
		status            int
		contentType, body string
		good              bool
	}{
		{200, "text/plain", "access_token=" + token + "&token_type=bearer", true},
		{200, "application/X-WWW-Form-Urlencoded", "access_token=" + token, true},
		{200, "application/json", "\xef\xbb\xbf" + `{"access_token":"` + token + `"}`, true},
		{200, "text/html; charset=utf-8", `{"access_token":"` + token + `","expires_in":" 3600 "}`, true},
		{200, "application/json", `{"access_token":"` + token + `","expires_in":31536000.5}`, true},
		{200, "application/json", `"access_token=` + token + `"`, true},
		{200, "text/xml", "<token>" + token + "</token>", false},
		{200, "text/html", "<html>access_token=" + token + "</html>", false},
		{200, "application/json", `{"access_token":"` + token, false},
		{200, "application/json", `{"access_token":{"value":"` + token + `"}}`, false},
		{200, "application/json", `{"error":"` + token + `","error_description":"` + token + `"}`, false},
		{200, "application/json", `{"access_token":"` + token + `","error":"` + token + `"}`, false},
		{200, token, token, false},
		{400, "application/json", `{"access_token":"` + token + `"}`, false},
		{400, "application/json", `{"error":"invalid_grant","error_description":"` + token + `"}`, false},
		{500, "text/plain", token, false},
		{403, "text/html", "<html>" + token + "</html>", false},
		{302, "text/html", token, false},
		{0, "", token + "\r\n\r\n", false},
		{0, "", "HTTP/1.1 " + token + "\r\n\r\n", false},
		{0, "", "HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n", false},
	} {
		g.update(func() { g.answer = answerWith(c.status, c.contentType, c.body) })
		_, err := b.gitHubSignIn(g)
		if (err == nil) != c.good {
			t.Errorf("%d: %d %q: %v", i, c.status, c.body, err)
		}
		if text := fmt.Sprintf("%+v", err); strings.Contains(text, "canary") {
			t.Errorf("%d: the error is %s", i, text)
		}
	}
	if err := b.actor.Stop(t); err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(logged.Bytes(), []byte("canary")); i >= 0 || logged.Len() < 1000 {
		t.Errorf("the log has %d bytes and the canary at %d: …%s", logged.Len(), i, logged.Bytes()[max(0, i-200):min(logged.Len(), i+200)])
	}
}
