package manifest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// stored is an object with this content.
func stored(text string) *manifest.Object {
	sum := sha256.Sum256([]byte(text))
	return &manifest.Object{
		Name: "ship.png", ContentType: "image/png", Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]),
		Open: func(context.Context) io.ReadCloser {
			return io.NopCloser(iotest.OneByteReader(strings.NewReader(text)))
		},
	}
}

// bodyOf returns a request's body. It reads a source twice, as a retry does.
func bodyOf(t *testing.T, r *manifest.Request) string {
	t.Helper()
	if r.Source == nil {
		return string(r.Body)
	}
	var got [2]string
	for i := range got {
		body := r.Source.Open(t.Context())
		data, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		got[i] = string(data)
	}
	if got[0] != got[1] || int64(len(got[0])) != r.Source.Size || len(r.Body) > 0 {
		t.Errorf("the source yields %q, then %q, of %d bytes", got[0], got[1], r.Source.Size)
	}
	return got[0]
}

// TestMultipartObjects: an object among other parts is streamed, with its own name and type as defaults.
func TestMultipartObjects(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", `safety: read
    body:
      multipart:
        before: {text: "${ .input.id }"}
        file: {file: {object: "${ .input.id }"}}
        named: {file: {name: other.gif, content_type: image/gif, object: "${ .input.id }"}}
        absent: {file: {object: "${ null }"}}
        after: {json: {a: 1}}`)
	a, _ := p.Action("get_thing")
	for _, text := range []string{"\x00large\xff", ""} {
		r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "o"}, Object: func(string) (*manifest.Object, error) { return stored(text), nil }})
		if err != nil {
			t.Fatal(err)
		}
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		reader := multipart.NewReader(strings.NewReader(bodyOf(t, r)), params["boundary"])
		for _, want := range [][4]string{
			{"before", "", "", "o"}, {"file", "ship.png", "image/png", text}, {"named", "other.gif", "image/gif", text},
			{"after", "", "application/json; charset=UTF-8", `{"a":1}`},
		} {
			part, err := reader.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(part)
			if got := [4]string{part.FormName(), part.FileName(), part.Header.Get("Content-Type"), string(data)}; err != nil || got != want {
				t.Errorf("got %q (%v), want %q", got, err, want)
			}
		}
		if _, err := reader.NextPart(); err != io.EOF {
			t.Errorf("after the last part: %v", err)
		}
	}
}

// TestSignedObject: a signature covers the known digest of an object. A multipart body with an object has no known digest.
func TestSignedObject(t *testing.T) {
	t.Parallel()
	conn := manifest.Connection{Credentials: map[string]any{"access_key_id": "AKIA", "secret_access_key": "s"}}
	call := manifest.Call{Input: map[string]any{"id": "o"}, Object: func(string) (*manifest.Object, error) { return stored("large"), nil }}
	for body, signed := range map[string]bool{
		`{object: "${ .input.id }"}`: true, `{multipart: {file: {file: {object: "${ .input.id }"}}}}`: false,
	} {
		p := load(t, "- {id: token, kind: api_key, in: bearer}", `- {id: keys, kind: sigv4, sigv4: {service: s3, region: eu-central-1}}`,
			"safety: read", "safety: read\n    body: "+body)
		a, _ := p.Action("get_thing")
		r, err := a.Request(conn, call)
		if signed != (err == nil) {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if signed && r.Header.Get("X-Amz-Content-Sha256") != stored("large").SHA256 {
			t.Errorf("%s: signed digest %s", body, r.Header.Get("X-Amz-Content-Sha256"))
		}
	}
}

// TestStoredResponse: the input decides whether a response is stored as an object, errors are not stored, and the output sees
// the object.
func TestStoredResponse(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", `safety: read
    answer: '${ if .input.id == "file" then "object" else null end }'
    success: ${ .status == 200 }
    output: '${ (if .object then {id: .object.id} else {content: .body} end) + {kind: .headers["content-type"]} }'`)
	a, _ := p.Action("get_thing")
	for id, store := range map[string]bool{"file": true, "text": false} {
		input := map[string]any{"id": id}
		if r := request(t, p, key, input); r.ToObject != store || (r.Header.Get("Accept") == "*/*") != store {
			t.Errorf("%s: ToObject is %v, Accept is %s", id, r.ToObject, r.Header.Get("Accept"))
		}
		answer := manifest.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte("hello")}
		if answer.Status = 202; a.Delivers(key, input, answer) {
			t.Errorf("%s: an error response is stored", id)
		}
		if answer.Status = 200; !a.Delivers(key, input, answer) {
			t.Errorf("%s: a success is not stored", id)
		}
		if store {
			answer.Body, answer.Object = nil, map[string]any{"id": "o"}
		}
		output, failed := a.Interpret(key, input, answer)
		got, _ := output.(map[string]any)
		if failed != nil || got["kind"] != "text/plain" || store != (got["id"] == "o") || store == (got["content"] == "hello") {
			t.Errorf("%s: %v, %v", id, output, failed)
		}
	}
}
