package integration_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// tokenAnswer is an answer of a token endpoint. TOKEN in its body is an access token, REFRESH a refresh token. A status of 0 sends the
// body in place of an HTTP response.
type tokenAnswer struct {
	status            int
	contentType, body string
}

// readableAnswers have tokens, in all shapes that are read.
var readableAnswers = []tokenAnswer{
	{200, "text/plain", "access_token=TOKEN&refresh_token=REFRESH"},
	{200, "text/plain; charset=utf-8", "access_token=TOKEN&refresh_token=REFRESH&tenant=t\n"},
	{200, "application/X-WWW-Form-Urlencoded", "access_token=TOKEN&refresh_token=REFRESH&expires_in=3600"},
	{200, "application/json", "access_token=TOKEN&refresh_token=REFRESH"},
	{200, "application/json", "\xef\xbb\xbf" + `{"access_token":"TOKEN","refresh_token":"REFRESH"}`},
	{200, "text/html", `{"access_token":"TOKEN","refresh_token":"REFRESH","expires_in":"3600"}`},
	{200, "", `{"access_token":"TOKEN","refresh_token":"REFRESH","expires_in":" 3600 "}`},
	{200, "application/json", `"access_token=TOKEN&refresh_token=REFRESH"`},
	{201, "application/json", `{"access_token":"TOKEN","refresh_token":"REFRESH","expires_in":1e400}`},
}

// strangeAnswers have tokens as well, and cannot be read or are errors.
var strangeAnswers = []tokenAnswer{
	{200, "application/xml", `<?xml version="1.0"?><access_token>TOKEN</access_token>`},
	{200, "text/html", `<html><body>access_token=TOKEN</body></html>`},
	{200, "application/json", `{"access_token":"TOKEN","refresh_token":"REFRESH"`},
	{200, "application/json", `{"access_token":"TOKEN"} REFRESH`},
	{200, "application/json", `{"access_token":{"value":"TOKEN"}}`},
	{200, "application/json", `["TOKEN"]`},
	{200, "text/plain", `TOKEN`},
	{200, "text/plain", `"TOKEN"`},
	{200, "text/plain", `The access_token is TOKEN`},
	{200, "application/json", `{"ok":false,"error":"TOKEN","error_description":"REFRESH"}`},
	{200, "application/json", `{"access_token":"TOKEN","tenant":"TOKEN"}`},
	{200, "application/json", `{"access_token":"TOKEN","tenant":7}`},
	{302, "text/html", `access_token=TOKEN`},
	{400, "application/json", `{"access_token":"TOKEN","error":"invalid_request","error_description":"REFRESH"}`},
	{400, "text/plain", `access_token=TOKEN&refresh_token=REFRESH`},
	{401, "text/html", `<html>TOKEN</html>`},
	{403, "application/json", `{"message":"TOKEN","detail":"REFRESH"}`},
	{429, "application/json", `{"error":"TOKEN"}`},
	{500, "application/json", `{"access_token":"TOKEN"}`},
	{503, "text/plain", `TOKEN`},
	{0, "", "TOKEN\r\n\r\n"},
	{0, "", "HTTP/1.1 TOKEN\r\n\r\n"},
	{0, "", "HTTP/1.1 200 OK\r\nTOKEN\r\n\r\n"},
	{0, "", "HTTP/1.1 200 OK\r\nContent-Length: TOKEN\r\n\r\n"},
}

// handler answers with tokens. Headers have them too.
func (a tokenAnswer) handler(access, refresh string) http.HandlerFunc {
	body := strings.NewReplacer("TOKEN", access, "REFRESH", refresh).Replace(a.body)
	return func(w http.ResponseWriter, _ *http.Request) {
		if a.status == 0 {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = io.WriteString(conn, body)
				_ = conn.Close()
			}
			return
		}
		w.Header().Set("Content-Type", a.contentType)
		w.Header().Set("Location", "https://acme.test/?access_token="+access)
		w.Header().Set("Www-Authenticate", `Bearer error="`+refresh+`"`)
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, body)
	}
}

// TestTokenEndpointAnswersAreRead: the answer to a refresh is read by what it is, and its tokens replace the old ones.
func TestTokenEndpointAnswersAreRead(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		v := newOAuthServer(t)
		b := setup(t, database, withAcme(t, v))
		_, ada := b.user(t)
		c := b.authorize(t, v, ada, "")
		for i, answer := range readableAnswers {
			access, refresh := fmt.Sprintf("access-%d", i), fmt.Sprintf("refresh-%d", i)
			v.mu.Lock()
			v.access[access], v.families[refresh] = "family-0", "family-0"
			v.mu.Unlock()
			v.answerNext(answer.handler(access, refresh))
			call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
			call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get", `{"id":"1"}`))
			call(t, b, subjects.RefreshConnection, ada, subjects.IntegrationRequest{IntegrationID: c.ID})
			if got := v.seen[len(v.seen)-1].Get("refresh_token"); got != refresh {
				t.Errorf("%+v: the next refresh was with %s", answer, got)
			}
		}
	})
}

// TestTokenEndpointAnswersAreNeverQuoted: no error has anything of an answer but its status and a known error code. TestCanaries
// searches logs, tables and files for the same answers.
func TestTokenEndpointAnswersAreNeverQuoted(t *testing.T) {
	t.Parallel()
	v := newOAuthServer(t)
	b := setup(t, actortest.Databases(t)[0], withAcme(t, v))
	_, ada := b.user(t)
	c := b.authorize(t, v, ada, "")
	for i, answer := range strangeAnswers {
		for _, request := range []func() error{
			func() error {
				_, err := mesh.Call(t.Context(), b.caller, subjects.RefreshConnection, subjects.IntegrationRequest{IntegrationID: c.ID}, ada)
				return err
			},
			func() error {
				_, err := mesh.Call(t.Context(), b.caller, subjects.ConnectIntegration, subjects.ConnectIntegrationRequest{
					Provider: "acme", Auth: "robot", Label: "robot", Credentials: subjects.SecretMap{"client_id": "r2", "client_secret": operatorsSecret},
				}, ada)
				return err
			},
			func() error {
				start := call(t, b, subjects.GetAuthURL, ada, subjects.GetAuthURLRequest{Provider: "acme", Label: "another"})
				code, state := v.approve(t, start.AuthorizationURL)
				_, err := mesh.Call(t.Context(), b.caller, subjects.ExchangeCode, subjects.ExchangeCodeRequest{Provider: "acme", Code: code, State: state}, ada)
				return err
			},
		} {
			v.answerNext(answer.handler("canary-access", "canary-refresh"))
			err := request()
			if text := fmt.Sprintf("%+v", err); err == nil || strings.Contains(text, "canary") || strings.Contains(text, "acme.test") {
				t.Errorf("%d %+v: %s", i, answer, text)
			}
		}
	}
	if got := call(t, b, subjects.GetIntegration, ada, subjects.IntegrationRequest{IntegrationID: c.ID}); got.Status != subjects.ConnectionActive {
		t.Errorf("got %+v", got)
	}
}
