package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

func TestDeclaredCookies(t *testing.T) {
	t.Parallel()
	type request struct {
		Name   string `json:"name,omitempty" maxLength:"8"`
		Cookie string `json:"cookie,omitempty" in:"cookie:crumb" maxLength:"8"`
	}
	type reply struct {
		Binding string `json:"binding"`
	}
	d := describe[request, reply]("bake", "POST /v1/test/bake", func(d *subjects.Descriptor) {
		d.Cookie = &subjects.Cookie{Name: "crumb", Field: "binding", MaxAge: time.Minute}
	})
	c := relaxed()
	c.TrustedProxies = []string{"127.0.0.0/8"}
	s := start(t, c, d)
	h := s.listen(t, d, reply{"secret"})
	for name, test := range map[string]struct {
		header       []string
		message, set string
	}{
		"plain http": {
			[]string{"Cookie: other=1; crumb=abc; __Host-crumb=no"}, `{"cookie":"abc"}`,
			"crumb=secret; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
		},
		"TLS to a trusted proxy": {
			[]string{"Cookie: crumb=planted; __Host-crumb=abc", "X-Forwarded-Proto: https"}, `{"cookie":"abc"}`,
			"__Host-crumb=secret; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax",
		},
		"no cookie": {nil, `{}`, "crumb=secret; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"},
	} {
		response, body := s.do(t, http.MethodPost, "/v1/test/bake", "", test.header...)
		if response.StatusCode != http.StatusOK || response.Header.Get("Set-Cookie") != test.set {
			t.Errorf("%s: %s sets %q: %s", name, response.Status, response.Header.Get("Set-Cookie"), body)
		}
		if m := h.take(); m == nil || string(m.Data) != test.message {
			t.Errorf("%s: the actor received %v, want %s", name, m, test.message)
		}
	}
	response, body := s.do(t, http.MethodPost, "/v1/test/bake", `{"cookie":"abc"}`)
	if response.StatusCode != http.StatusBadRequest || !strings.Contains(body, "belongs in the cookie") {
		t.Errorf("the cookie's field in the body: %s %s", response.Status, body)
	}
}

func TestUntrustedForwardedProtoIsIgnored(t *testing.T) {
	t.Parallel()
	type request struct {
		Cookie string `json:"cookie,omitempty" in:"cookie:crumb"`
	}
	d := describe[request, request]("taste", "GET /v1/test/taste", nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/test/taste", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("Cookie", "crumb=a; __Host-crumb=b")
	if data, err := gateway.BuildMessage(d, nil, r); err != nil || string(data) != `{"cookie":"a"}` {
		t.Errorf("got %s, %v", data, err)
	}
}
