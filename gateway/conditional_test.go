package gateway_test

import (
	"net/http"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// TestOpenAPIIsCached: the document may be kept for a while, and is revalidated by its ETag.
func TestOpenAPIIsCached(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	first, body := s.do(t, http.MethodGet, "/openapi.json", "", "Accept-Encoding: identity")
	tag := first.Header.Get("Etag")
	if first.StatusCode != http.StatusOK || len(tag) != 34 || first.Header.Get("Cache-Control") != "public, max-age=300" || body == "" {
		t.Fatalf("status %d, headers %v", first.StatusCode, first.Header)
	}
	again, body := s.do(t, http.MethodGet, "/openapi.json", "", "Accept-Encoding: identity", "If-None-Match: "+tag)
	if again.StatusCode != http.StatusNotModified || body != "" || again.Header.Get("Etag") != tag {
		t.Errorf("revalidated: status %d, %d bytes, headers %v", again.StatusCode, len(body), again.Header)
	}
}

// TestConditionalRequests: the ETag is made of the reply's version, a GET or HEAD whose If-None-Match names it is answered with 304, and
// If-Match travels to the actor.
func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	type versioned struct {
		Title   string         `json:"title"`
		Nested  map[string]int `json:"nested"`
		Version int            `json:"version"`
	}
	type change struct {
		Title   string `json:"title,omitempty"`
		IfMatch string `json:"if_match,omitempty" in:"header:If-Match" maxLength:"512"`
	}
	tagged := func(d *subjects.Descriptor) { d.Tag = "version" }
	read := describe[subjects.Empty, versioned]("conditional_read", "GET /v1/conditional", tagged)
	write := describe[change, versioned]("conditional_write", "PATCH /v1/conditional", tagged)
	s := start(t, relaxed(), read, write)
	reply := versioned{Title: `"version":9, \" {[`, Nested: map[string]int{"version": 8}, Version: 37}
	gets, writes := s.listen(t, read, reply), s.listen(t, write, reply)
	fresh := []string{`Etag: "37"`, "Cache-Control: private, no-cache", "Vary: Authorization, Cookie"}
	get := func(name string, status int, tags string) scenario {
		sc := scenario{name: name, method: http.MethodGet, path: "/v1/conditional", status: status, reply: fresh, message: "{}"}
		if tags != "" {
			sc.header = []string{"If-None-Match: " + tags}
		}
		if status == http.StatusOK {
			sc.contains = []string{`"version":37`}
		}
		return sc
	}
	head := get("HEAD", http.StatusNotModified, `"37"`)
	head.method = http.MethodHead
	scenarios := []scenario{
		get("without a condition", http.StatusOK, ""),
		get("another version", http.StatusOK, `"36"`),
		get("the version of something nested", http.StatusOK, `"8", "9"`),
		get("the version", http.StatusNotModified, `"37"`),
		get("its weak tag", http.StatusNotModified, `W/"37"`),
		get("one of a list", http.StatusNotModified, `"a,b", "37"`),
		get("any", http.StatusNotModified, "*"),
		head,
	}
	for i := range scenarios {
		scenarios[i].message = ""
		scenarios[i].carries = []string{"If-None-Match:"}
	}
	s.play(t, gets, scenarios)
	s.play(t, writes, []scenario{
		{
			name: "If-Match", method: http.MethodPatch, path: "/v1/conditional", body: `{"title":"a"}`, status: http.StatusOK,
			header: []string{`If-Match: "36", "37"`, `If-None-Match: "37"`}, message: `{"title":"a","if_match":"\"36\", \"37\""}`,
			reply: []string{`Etag: "37"`, "Cache-Control: no-store"},
		},
		{
			name: "in the body", method: http.MethodPatch, path: "/v1/conditional", body: `{"if_match":"*"}`, status: http.StatusBadRequest,
			code: subjects.CodeInvalid, field: "if_match",
		},
	})
}
