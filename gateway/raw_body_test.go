package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// The token of an authenticated endpoint with a raw body is in the message header, not among the headers in the message.
func TestRawBodyWithToken(t *testing.T) {
	t.Parallel()
	type publication struct {
		Body    []byte            `json:"body,omitempty"`
		Headers map[string]string `json:"headers,omitempty"`
	}
	d := describe[publication, map[string]string]("raw", "POST /t/raw", func(d *subjects.Descriptor) {
		d.Access, d.Body = subjects.User, subjects.Body{Kind: subjects.BodyRaw, Field: "body"}
	})
	s := start(t, relaxed(), d)
	h := s.listen(t, d, map[string]string{})
	if res, _ := s.do(t, "POST", "/t/raw", "x"); res.StatusCode != 401 {
		t.Errorf("without a token: %d", res.StatusCode)
	}
	token := s.Token(t, actortest.User())
	s.do(t, "POST", "/t/raw", "x", bearer(token), "Ce-Id: 1")
	m := h.take()
	var got publication
	if m == nil || json.Unmarshal(m.Data, &got) != nil || string(got.Body) != "x" || got.Headers["Ce-Id"] != "1" {
		t.Fatalf("got %+v", got)
	}
	if m.Header.Get(mesh.HeaderAuthorization) != "Bearer "+token || strings.Contains(string(m.Data), token) {
		t.Errorf("the token is missing in the message header, or in the message: %v", m.Header)
	}
}
