package manifest_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

func TestClassOfEachStatus(t *testing.T) {
	t.Parallel()
	classes := map[manifest.Class][]int{
		manifest.ClassAuth: {401, 403, 407}, manifest.ClassNotFound: {404, 410}, manifest.ClassConflict: {409, 412, 423}, manifest.ClassLimited: {429},
		manifest.ClassInvalid: {501}, manifest.ClassUnavailable: {408, 425},
	}
	want := map[int]manifest.Class{}
	for class, statuses := range classes {
		for _, status := range statuses {
			want[status] = class
		}
	}
	p := load(t)
	for status := 100; status < 600; status++ {
		_, failed := interpret(t, p, status, "")
		if status >= 200 && status <= 299 {
			if failed != nil {
				t.Errorf("%d: got %v, want a success", status, failed)
			}
			continue
		}
		class, known := want[status]
		switch { // RFC 9110 §15: an unknown status is x00 of its class
		case known:
		case status >= 500:
			class = manifest.ClassUnavailable
		case status >= 400:
			class = manifest.ClassInvalid
		default:
			class = manifest.ClassUnknown
		}
		if failed == nil || failed.Class != class || failed.Expired != (status == 401) {
			t.Errorf("%d: got %+v, want the class %s", status, failed, class)
		}
	}
}

func TestSuccessExpressions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, provider, action string
		status                 int
		body                   string
		success                bool
		code                   string
	}{
		{"true", "${ .body.ok }", "", 200, `{"ok":true}`, true, ""},
		{"true with an error status", "${ .body.ok }", "", 500, `{"ok":true}`, true, ""},
		{"false", "${ .body.ok }", "", 200, `{"ok":false}`, false, ""},
		{"null", "${ .body.ok }", "", 200, `{}`, false, ""},
		{"truthy but not true", "${ .body.ok }", "", 200, `{"ok":"yes"}`, false, ""},
		{"yields nothing", "${ empty }", "", 200, `{}`, false, ""},
		{"fails", "${ .body.ok.deep }", "", 200, `{"ok":true}`, false, "output"},
		{"action overrides provider", "${ false }", "${ .status == 404 }", 404, ``, true, ""},
		{"action overrides provider's true", "${ true }", "${ false }", 200, ``, false, ""},
		{"header", "", `${ .headers["x-ok"] == "1" }`, 500, ``, false, ""},
	} {
		var changes []string
		if c.provider != "" {
			changes = append(changes, "auth:", "success: '"+c.provider+"'\nauth:")
		}
		if c.action != "" {
			changes = append(changes, "safety: read", "safety: read\n    success: '"+c.action+"'")
		}
		_, failed := interpret(t, load(t, changes...), c.status, c.body)
		if (failed == nil) != c.success || failed != nil && failed.Code != c.code {
			t.Errorf("%s: got %v, want success %v", c.name, failed, c.success)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, expression, header string
		want                     time.Duration
	}{
		{"none", "", "", 0},
		{"header in seconds", "", "30", 30 * time.Second},
		{"header date", "", "Mon, 23 Nov 2026 12:02:00 GMT", 2 * time.Minute},
		{"header date in the past", "", "Mon, 23 Nov 2026 11:00:00 GMT", 0},
		{"invalid header", "", "soon", 0},
		{"expression", "${ 1.5 }", "", 1500 * time.Millisecond},
		{"expression over a header", `${ .headers["x-reset"] | tonumber - .now }`, "", 0},
		{"expression that yields text", `${ "7" }`, "", 7 * time.Second},
		{"header before expression", "${ 1 }", "30", 30 * time.Second},
		{"negative", "${ -1 }", "", 0},
		{"implausible", "${ 100000000 }", "", 0},
		{"no number", `${ "soon" }`, "", 0},
		{"fails", "${ .body.a.b }", "", 0},
	} {
		var changes []string
		if c.expression != "" {
			changes = []string{"auth:", "errors: {retry_after: '" + c.expression + "'}\nauth:"}
		}
		var header []string
		if c.header != "" {
			header = []string{"Retry-After", c.header}
		}
		if _, failed := interpret(t, load(t, changes...), 429, `{"a":"text"}`, header...); failed == nil || failed.RetryAfter != c.want {
			t.Errorf("%s: got %+v, want %s", c.name, failed, c.want)
		}
	}
}

func TestErrorMessages(t *testing.T) {
	t.Parallel()
	p := load(t)
	for body, want := range map[string]string{
		`{"message":"m","error":"e"}`:             "m",
		`{"error":{"message":"m"}}`:               "m",
		`{"error":"e","error_description":"d"}`:   "d",
		`{"detail":"d","title":"t"}`:              "d",
		`{"title":"t"}`:                           "t",
		`{"error":"e"}`:                           "e",
		`{"errors":[{"message":"first"},{}]}`:     "first",
		`{"errors":["plain"]}`:                    "",
		`{"message":7}`:                           "",
		`{"message":{"deep":"m"}}`:                "",
		`["m"]`:                                   "",
		`"m"`:                                     `"m"`,
		"  spaced \t out\r\n":                     "spaced out",
		"tab\x00control\x1b[0m":                   "tabcontrol[0m",
		`{"message":"` + long(600) + `"}`:         long(500) + "…",
		`{"message":"é` + long(499) + `"}`:        "é" + long(499),
		`{"message":"` + long(20000) + `secret"}`: long(500) + "…",
	} {
		if _, failed := interpret(t, p, 400, body); failed == nil || failed.Message != want {
			t.Errorf("%.60s: got %+v, want %.60q", body, failed, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// TestActionErrorsOverrideProviders: an action's expressions come before the provider's, which are used if they yield nothing.
func TestActionErrorsOverrideProviders(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", "errors: {code: '${ .body.pc }', message: '${ .body.pm }', retry_after: '${ 2 }'}\nauth:", "safety: read", `safety: read
    errors: {code: "${ .body.ac }", message: "${ .body.am }", retry_after: "${ .body.ra }"}`)
	for body, want := range map[string]string{
		`{"ac":"a","am":"A","ra":1,"pc":"p","pm":"P"}`: "invalid (HTTP 400): a: A after 1s",
		`{"pc":"p","pm":"P"}`:                          "invalid (HTTP 400): p: P after 2s",
		`{"ac":"","am":[],"pc":7,"pm":"P"}`:            "invalid (HTTP 400): 7: P after 2s",
		`{"message":"common"}`:                         "invalid (HTTP 400): common after 2s",
		`{}`:                                           "invalid (HTTP 400) after 2s",
	} {
		_, failed := interpret(t, p, 400, body)
		if got := fmt.Sprintf("%v after %s", failed, failed.RetryAfter); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

func TestUnansweredKinds(t *testing.T) {
	t.Parallel()
	for kind, want := range map[egress.Kind]manifest.Class{
		egress.KindConnect: manifest.ClassUnavailable, egress.KindTimeout: manifest.ClassUnavailable, egress.KindTransport: manifest.ClassUnavailable,
		egress.KindDeadline: manifest.ClassUnavailable, egress.KindBlocked: manifest.ClassInvalid, egress.KindHost: manifest.ClassInvalid,
		egress.KindScheme: manifest.ClassInvalid, egress.KindInvalid: manifest.ClassInvalid, egress.KindTooLarge: manifest.ClassUnknown,
	} {
		err := fmt.Errorf("calling: %w", &egress.Error{Kind: kind, Host: "h.test"})
		if got := manifest.Unanswered(err); got.Class != want || got.Code != string(kind) || got.Status != 0 || strings.HasPrefix(got.Message, "egress: ") {
			t.Errorf("%s: got %+v, want the class %s", kind, got, want)
		}
	}
	if got := manifest.Unanswered(errors.New("internal")); got.Class != manifest.ClassUnknown || strings.Contains(got.Message, "internal") {
		t.Errorf("another error: got %+v", got)
	}
}

func TestTokenErrorsAreFinal(t *testing.T) {
	t.Parallel()
	const urls = "authorize_url: https://id.acme.test/a, token_url: https://id.acme.test/t, invalid_grant: [bad_refresh_token]"
	user := method(t, apiKeyAuth, "- {id: o, kind: oauth2, oauth2: {"+urls+", answer: {error: \"${ .body.error // .body.status }\"}}}")
	robot := method(t, apiKeyAuth, "- {id: o, kind: client_credentials, oauth2: {token_url: https://id.acme.test/t}}")
	for _, c := range []struct {
		m      *manifest.AuthMethod
		status int
		code   string
		final  bool
	}{
		{user, 400, "invalid_grant", true}, {user, 401, "invalid_grant", true}, {user, 404, "invalid_grant", true}, {user, 200, "invalid_grant", true},
		{user, 400, "bad_refresh_token", true}, {user, 200, "bad_refresh_token", true}, {robot, 401, "invalid_client", true}, {robot, 400, "invalid_grant", true},
		{user, 400, "invalid_request", false}, {user, 400, "", false}, {user, 403, "access_denied", false}, {user, 401, "invalid_client", false},
		{user, 401, "unauthorized_client", false}, {user, 400, "temporarily_unavailable", false}, {user, 400, "slow_down", false},
		{user, 400, "server_error", false}, {user, 429, "invalid_grant", false}, {user, 500, "invalid_grant", false}, {user, 503, "", false},
		{user, 302, "invalid_grant", false}, {user, 200, "ratelimited", false}, {user, 200, "", false}, {robot, 400, "invalid_request", false},
	} {
		header := http.Header{"Content-Type": {"application/json"}, "Retry-After": {"5"}}
		_, err := c.m.Tokens(manifest.Answer{Status: c.status, Header: header, Body: []byte(`{"error":"` + c.code + `"}`), At: noon})
		var failed *manifest.TokenError
		if !errors.As(err, &failed) || failed.Final != c.final || failed.Status != c.status || failed.Code != c.code || failed.RetryAfter != 5*time.Second {
			t.Errorf("%d %s: got %+v, want final %v", c.status, c.code, failed, c.final)
		}
	}
	_, err := user.Tokens(manifest.Answer{Status: 400, Body: []byte(`{"status":"bad_refresh_token"}`), At: noon})
	var failed *manifest.TokenError
	if !errors.As(err, &failed) || !failed.Final {
		t.Errorf("the manifest's place of the code: got %v", err)
	}
}
