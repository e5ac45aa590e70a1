package gateway_test

import (
	"encoding/json"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// Providers add parameters to their callbacks, which are ignored (RFC 6749 §4.1.2). Those that are weft's own are still checked.
func TestProviderCallbacks(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	const query = "state=s&code=c&installation_id=7&installation_id=8&tenant_id=x&error_reason=%00&kc_action_status=success"
	const form = "Content-Type: application/x-www-form-urlencoded"
	get, post := subjects.CompleteOAuth.Describe(), subjects.PostOAuth.Describe()
	s.play(t, s.listen(t, get, subjects.Session{}), []scenario{
		{name: "GET", method: "GET", path: "/v1/auth/oauth/corp/callback?" + query, status: 200, message: `{"provider":"corp","code":"c","state":"s"}`},
		{name: "two states", method: "GET", path: "/v1/auth/oauth/corp/callback?state=a&state=b", status: 400, code: subjects.CodeInvalid, field: "state"},
		{name: "no state", method: "GET", path: "/v1/auth/oauth/corp/callback?code=c", status: 400, code: subjects.CodeInvalid, field: "state"},
		{name: "the path's field in the query", method: "GET", path: "/v1/auth/oauth/corp/callback?state=s&provider=x", status: 400, code: subjects.CodeInvalid, field: "provider"},
	})
	reply := subjects.Document{Headers: map[string]string{"Location": "callback?state=s"}}
	s.play(t, s.listen(t, post, reply), []scenario{
		{name: "POST", method: "POST", path: "/v1/auth/oauth/corp/callback", body: query + "&user=%7B%7D", header: []string{form}, status: 303, message: `{"provider":"corp","code":"c","state":"s","user":"{}"}`},
	})
	response, _ := s.do(t, "POST", "/v1/auth/oauth/corp/callback", query, form)
	if response.StatusCode != 303 || response.Header.Get("Location") != "callback?state=s" {
		t.Errorf("%d, Location %s", response.StatusCode, response.Header.Get("Location"))
	}
	var over map[string]any
	if err := json.Unmarshal([]byte(`{"provider":"corp","state":"s","code":"c","installation_id":7}`), &over); err != nil {
		t.Fatal(err)
	}
	if err := get.ValidateValue(over); err != nil {
		t.Errorf("over NATS: %v", err)
	}
}
