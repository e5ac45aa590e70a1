package manifest_test

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

func TestBracketForms(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", `safety: read
    body: {form_style: brackets, form: {line_items: [{price: "${ .input.id }", quantity: 2}, {price: b}], metadata: {a: {b: true}}, none: "${ null }", plain: x}}`)
	r := request(t, p, key, map[string]any{"id": "p&1"})
	got, err := url.ParseQuery(string(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"line_items[0][price]": {"p&1"}, "line_items[0][quantity]": {"2"}, "line_items[1][price]": {"b"}, "metadata[a][b]": {"true"}, "plain": {"x"},
	}
	if got.Encode() != want.Encode() || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("got %v as %s", got, r.Header.Get("Content-Type"))
	}
}

func TestBase64AndObjectBodies(t *testing.T) {
	t.Parallel()
	errNone := errors.New("no such object")
	objects := func(key string) (*manifest.Object, error) {
		if key != "big" {
			return nil, errNone
		}
		return stored("\x00large\xff"), nil
	}
	for _, c := range []struct{ name, body, input, want, contentType string }{
		{"base64", `{raw: "${ .input.id }", base64: true}`, "AP8=", "\x00\xff", "application/octet-stream"},
		{"base64url", `{raw: "${ .input.id }", base64: true, content_type: image/png}`, "-_8", "\xfb\xff", "image/png"},
		{"object", `{object: "${ .input.id }"}`, "big", "\x00large\xff", "image/png"},
		{"object with a type", `{object: "${ .input.id }", content_type: "${ \"video/mp4\" }"}`, "big", "\x00large\xff", "video/mp4"},
	} {
		p := load(t, "safety: read", "safety: read\n    body: "+c.body)
		a, _ := p.Action("get_thing")
		r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": c.input}, Object: objects})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := bodyOf(t, r); got != c.want || r.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s: got %q as %q", c.name, got, r.Header.Get("Content-Type"))
		}
	}
	for name, body := range map[string]string{"not base64": `{raw: "${ .input.id }", base64: true}`, "no such object": `{object: "${ .input.id }"}`} {
		a, _ := load(t, "safety: read", "safety: read\n    body: "+body).Action("get_thing")
		_, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "%%%"}, Object: objects})
		var failed *manifest.BuildError
		if name == "no such object" && err != errNone || name == "not base64" && !errors.As(err, &failed) { //nolint:errorlint // the error must be returned unwrapped
			t.Errorf("%s: got %v", name, err)
		}
	}
	a, _ := load(t, "safety: read", `safety: read
    body: {object: "${ .input.id }"}`).Action("get_thing")
	if _, err := a.Request(key, manifest.Call{Input: map[string]any{"id": "big"}}); err == nil || !strings.Contains(err.Error(), "no object store") {
		t.Errorf("without an object store: %v", err)
	}
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	const parts = `
      multipart:
        metadata: {json: {name: "${ .input.id }"}}
        comment: {text: "${ .input.id }"}
        absent: {text: "${ null }"}
        file: {file: {name: "${ .input.id }", content_type: image/png, base64: "${ \"AP8=\" }"}}
        again: {file: {content: "${ .input.id }"}}`
	r := request(t, load(t, "safety: read", "safety: read\n    body:"+parts), key, map[string]any{"id": "a\"b\r\nc"})
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		t.Fatalf("%s: %v", kind, err)
	}
	reader := multipart.NewReader(strings.NewReader(string(r.Body)), params["boundary"])
	for _, want := range []struct{ name, file, contentType, data string }{
		{"metadata", "", "application/json; charset=UTF-8", `{"name":"a\"b\r\nc"}`}, {"comment", "", "", "a\"b\r\nc"},
		{"file", "a%22b%0D%0Ac", "image/png", "\x00\xff"}, {"again", "file", "application/octet-stream", "a\"b\r\nc"},
	} {
		part, err := reader.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(part)
		if err != nil || part.FormName() != want.name || part.FileName() != want.file || part.Header.Get("Content-Type") != want.contentType || string(data) != want.data {
			t.Errorf("got part %s %q %s %q (%v), want %v", part.FormName(), part.FileName(), part.Header.Get("Content-Type"), data, err, want)
		}
	}
	if _, err := reader.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
	related := request(t, load(t, "safety: read", "safety: read\n    body:\n      content_type: multipart/related"+parts), key, map[string]any{"id": "x"})
	if kind, _, _ := mime.ParseMediaType(related.Header.Get("Content-Type")); kind != "multipart/related" || strings.Contains(string(related.Body), "Content-Disposition") {
		t.Errorf("related: %s\n%s", kind, related.Body)
	}
}

func TestGraphQL(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", `safety: read
    body: {graphql: {query: "query($id: ID!) { thing(id: $id) { name } }", variables: {id: "${ .input.id }"}, operation: "Q"}}
    output: ${ .body.data.thing }`)
	r := request(t, p, key, map[string]any{"id": `") { secrets } #`})
	var sent struct {
		Query         string         `json:"query"`
		Variables     map[string]any `json:"variables"`
		OperationName string         `json:"operationName"`
	}
	if err := json.Unmarshal(r.Body, &sent); err != nil || sent.Query != "query($id: ID!) { thing(id: $id) { name } }" ||
		sent.Variables["id"] != `") { secrets } #` || sent.OperationName != "Q" {
		t.Errorf("sent %s (%v)", r.Body, err)
	}
	a, _ := p.Action("get_thing")
	answer := func(body string) manifest.Answer {
		return manifest.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
	}
	if output, failed := a.Interpret(key, nil, answer(`{"data":{"thing":{"name":"n"}}}`)); failed != nil || output.(map[string]any)["name"] != "n" {
		t.Errorf("got %v, %v", output, failed)
	}
	if _, failed := a.Interpret(key, nil, answer(`{"data":null,"errors":[{"message":"Cannot query field"}]}`)); failed == nil || failed.Message != "Cannot query field" {
		t.Errorf("errors: %v", failed)
	}
	if err := faultsOf(t, "safety: read", "safety: read\n    body: {graphql: {query: \"${ .input.id }\"}}"); !strings.Contains(err, "/actions/get_thing/body/graphql/query: must match") {
		t.Errorf("a query that is an expression: %s", err)
	}
}

// faultsOf returns the faults of minimal with changes, as text.
func faultsOf(t *testing.T, changes ...string) string {
	t.Helper()
	_, err := manifest.Load([]byte(changed(t, changes...)))
	var faults manifest.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want Faults", err)
	}
	return faults.Error()
}

func TestXMLResponses(t *testing.T) {
	t.Parallel()
	a, _ := load(t, "safety: read", "safety: read\n    answer: xml").Action("get_thing")
	for body, want := range map[string]string{
		`<?xml version="1.0" encoding="UTF-8"?><R xmlns="urn:x"><Name>b</Name><C><Key>1</Key></C><C><Key>2</Key></C><E/></R>`: `{"R":{"C":[{"Key":"1"},{"Key":"2"}],"E":"","Name":"b"}}`,
		`<a id="7">text<b/></a>`: `{"a":{"#text":"text","@id":"7","b":""}}`,
		`<a>&lt;x&gt;</a>`:       `{"a":"\u003cx\u003e"}`,
		// A body that is not XML, or that declares entities, is text.
		`plain`: `"plain"`,
		`<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>`: `"\u003c!DOCTYPE a [\u003c!ENTITY e SYSTEM \"file:///etc/passwd\"\u003e]\u003e\u003ca\u003e\u0026e;\u003c/a\u003e"`,
	} {
		output, failed := a.Interpret(key, nil, manifest.Answer{Status: 200, Body: []byte(body)})
		got, err := json.Marshal(output)
		if failed != nil || err != nil || string(got) != want {
			t.Errorf("%s: got %s (%v, %v)", body, got, failed, err)
		}
	}
	deep := strings.Repeat("<a>", 5000) + strings.Repeat("</a>", 5000)
	if output, _ := a.Interpret(key, nil, manifest.Answer{Status: 200, Body: []byte(deep)}); output != deep {
		t.Error("a document of 5000 levels was decoded")
	}
	if r := request(t, load(t, "safety: read", "safety: read\n    answer: xml"), key, map[string]any{"id": "x"}); r.Header.Get("Accept") != "application/xml" {
		t.Errorf("Accept: %s", r.Header.Get("Accept"))
	}
}

func TestBaseURLs(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", "base_urls: {upload: https://upload.acme.test/v2}\nhosts: ['*.acme.test']\nauth:", "safety: read", "safety: read\n    host: upload")
	if r := request(t, p, key, map[string]any{"id": "x"}); r.URL != "https://upload.acme.test/v2/things/x" {
		t.Errorf("got %s", r.URL)
	}
	conn := key
	conn.BaseURL = "http://127.0.0.1:1"
	if r := request(t, p, conn, map[string]any{"id": "x"}); r.URL != "http://127.0.0.1:1/things/x" {
		t.Errorf("with the operator's base URL: got %s", r.URL)
	}
	if err := faultsOf(t, "safety: read", "safety: read\n    host: upload"); !strings.Contains(err, "/actions/get_thing/host: unknown base URL upload") {
		t.Error(err)
	}
	if err := faultsOf(t, "auth:", "base_urls: {upload: https://upload.example.test}\nhosts: ['*.acme.test']\nauth:"); !strings.Contains(err, "/base_urls/upload: upload.example.test is not within hosts") {
		t.Error(err)
	}
}

// TestSignatureVersion4 expects the signature of the S3 documentation ("Example: GET Object").
func TestSignatureVersion4(t *testing.T) {
	t.Parallel()
	p := load(t,
		"https://api.acme.test/v1", "https://examplebucket.s3.amazonaws.com",
		"- {id: token, kind: api_key, in: bearer}", `- {id: keys, kind: sigv4, sigv4: {service: s3, region: "${ .settings.region }"}}`,
		"auth:", "settings: {type: object, properties: {region: {type: string}}}\nauth:",
		"path: /things/{id}", "path: /{id}\n    headers: {Range: bytes=0-9}")
	conn := manifest.Connection{
		Settings:    map[string]any{"region": "us-east-1"},
		Credentials: map[string]any{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
	}
	if err := p.ValidateConnection(conn); err != nil {
		t.Fatal(err)
	}
	a, _ := p.Action("get_thing")
	r, err := a.Request(conn, manifest.Call{Input: map[string]any{"id": "test.txt"}, At: time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	const want = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
		"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r, err = a.Request(conn, manifest.Call{Input: map[string]any{"id": "a b/c+d=é"}}); err != nil || r.URL != "https://examplebucket.s3.amazonaws.com/a%20b/c%2Bd%3D%C3%A9" {
		t.Errorf("got %s, %v", r.URL, err)
	}
	delete(conn.Settings, "region")
	if _, err := a.Request(conn, manifest.Call{Input: map[string]any{"id": "x"}}); err == nil || strings.Contains(err.Error(), "wJalr") {
		t.Errorf("without a region: %v", err)
	}
}
