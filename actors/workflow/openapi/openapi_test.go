package openapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// build formats the request of the operation op: method, URL, headers but accept, and body.
func build(t *testing.T, description string, values map[string]any) string {
	t.Helper()
	parsed, err := Parse([]byte(description))
	if err != nil {
		return err.Error()
	}
	r, err := parsed.Build("https://docs.test/api/openapi.yaml", "op", values)
	if err != nil {
		return err.Error()
	}
	delete(r.Headers, "accept")
	out := r.Method + " " + r.URL
	if len(r.Headers) > 0 {
		out += " " + string(language.Canonical(r.Headers))
	}
	switch {
	case r.Form != nil:
		out += " " + *r.Form
	case r.HasBody:
		out += " " + language.Text(r.Body)
	}
	return out
}

// TestParameterStyles: OpenAPI 3.1.1 §4.8.12.6, Style Examples, where label follows RFC 6570.
func TestParameterStyles(t *testing.T) {
	t.Parallel()
	text, list := any("blue"), any([]any{"blue", "black", "brown"})
	object := any(map[string]any{"R": 100, "G": 200, "B": 150})
	for _, test := range []struct {
		place, style string
		explode      bool
		value        any
		want         string
	}{
		{"path", "matrix", false, "", ";color"}, {"path", "matrix", false, text, ";color=blue"},
		{"path", "matrix", false, list, ";color=blue,black,brown"}, {"path", "matrix", false, object, ";color=B,150,G,200,R,100"},
		{"path", "matrix", true, text, ";color=blue"}, {"path", "matrix", true, list, ";color=blue;color=black;color=brown"},
		{"path", "matrix", true, object, ";B=150;G=200;R=100"},
		{"path", "label", false, "", "."}, {"path", "label", false, text, ".blue"}, {"path", "label", false, list, ".blue,black,brown"},
		{"path", "label", false, object, ".B,150,G,200,R,100"}, {"path", "label", true, list, ".blue.black.brown"},
		{"path", "label", true, object, ".B=150.G=200.R=100"},
		{"path", "simple", false, text, "blue"}, {"path", "simple", false, list, "blue,black,brown"}, {"path", "simple", false, object, "B,150,G,200,R,100"},
		{"path", "simple", true, list, "blue,black,brown"}, {"path", "simple", true, object, "B=150,G=200,R=100"},
		{"path", "simple", false, "a/b c;d", "a%2Fb%20c%3Bd"}, {"path", "simple", false, []any{"a,b", "c"}, "a%2Cb,c"},
		{"query", "form", false, "", "color="}, {"query", "form", false, text, "color=blue"}, {"query", "form", false, list, "color=blue,black,brown"},
		{"query", "form", false, object, "color=B,150,G,200,R,100"}, {"query", "form", true, text, "color=blue"},
		{"query", "form", true, list, "color=blue&color=black&color=brown"}, {"query", "form", true, object, "B=150&G=200&R=100"},
		{"query", "spaceDelimited", false, list, "color=blue%20black%20brown"}, {"query", "spaceDelimited", false, object, "color=B%20150%20G%20200%20R%20100"},
		{"query", "pipeDelimited", false, list, "color=blue%7Cblack%7Cbrown"}, {"query", "pipeDelimited", false, object, "color=B%7C150%7CG%7C200%7CR%7C100"},
		{"query", "spaceDelimited", true, list, "color=blue&color=black&color=brown"}, {"query", "pipeDelimited", true, list, "color=blue&color=black&color=brown"},
		{"query", "deepObject", true, object, "color%5BB%5D=150&color%5BG%5D=200&color%5BR%5D=100"}, {"query", "form", true, "a+b&c", "color=a%2Bb%26c"},
		{"header", "simple", false, list, "blue,black,brown"}, {"header", "simple", false, object, "B,150,G,200,R,100"}, {"header", "simple", true, object, "B=150,G=200,R=100"},
		{"cookie", "form", false, text, "color=blue"}, {"cookie", "form", false, list, "color=blue,black,brown"}, {"cookie", "form", false, object, "color=B,150,G,200,R,100"},
		{"cookie", "form", true, list, "color=blue; color=black; color=brown"}, {"cookie", "form", true, object, "B=150; G=200; R=100"}, {"cookie", "form", true, "a b;c", "color=a%20b%3Bc"},
	} {
		path := "/p"
		if test.place == "path" {
			path += "/{color}"
		}
		got := build(t, fmt.Sprintf(`{"openapi":"3.0.3","paths":{%q:{"get":{"operationId":"op","parameters":[{"name":"color","in":%q,"style":%q,"explode":%t,"required":true}]}}}}`,
			path, test.place, test.style, test.explode), map[string]any{"color": test.value})
		want := map[string]string{
			"path": "GET https://docs.test/p/" + test.want, "query": "GET https://docs.test/p?" + test.want,
			"header": `GET https://docs.test/p {"color":"` + test.want + `"}`, "cookie": `GET https://docs.test/p {"cookie":"` + test.want + `"}`,
		}[test.place]
		if got != want {
			t.Errorf("%s %s explode %t of %v\ngot  %s\nwant %s", test.place, test.style, test.explode, test.value, got, want)
		}
	}
}

const described = `
openapi: 3.0.3
servers:
- url: '{base}/{version}'
  variables: {base: {default: https://api.test}, version: {enum: [v1, v2]}}
paths:
  /pets/{id}:
    parameters: [{name: id, in: path, required: true}, {name: page, in: query}]
    post:
      operationId: op
      parameters:
      - {name: page, in: query, style: form, explode: false}
      - {name: session, in: cookie}
      - {name: filter, in: query, style: deepObject, explode: true}
      - {name: json, in: query, content: {application/json: {}}}
      - {name: raw, in: query, allowReserved: true}
      - {$ref: '#/components/parameters/trace'}
%s
components: {parameters: {trace: {name: X-Trace, in: header}}}
`

func TestRequests(t *testing.T) {
	t.Parallel()
	body := func(content string) string {
		return fmt.Sprintf(described, "      requestBody: {content: {"+content+"}}")
	}
	plain := fmt.Sprintf(described, "")
	for name, test := range map[string]struct {
		description string
		values      map[string]any
		want        string
	}{
		"servers with variables": {plain, map[string]any{"id": 1}, "POST https://api.test/v1/pets/1"},
		"parameters of the operation win": {plain, map[string]any{"id": 1, "page": []any{1, 2}, "session": "s1", "X-Trace": "t", "filter": map[string]any{"a": map[string]any{"b": 1}}},
			`POST https://api.test/v1/pets/1?page=1,2&filter%5Ba%5D%5Bb%5D=1 {"cookie":"session=s1","x-trace":"t"}`},
		"content and allowReserved": {plain, map[string]any{"id": 1, "json": map[string]any{"a": 1}, "raw": "a/b?c&d"}, `POST https://api.test/v1/pets/1?json=%7B%22a%22%3A1%7D&raw=a/b?c%26d`},
		"form":                      {body("application/x-www-form-urlencoded: {}"), map[string]any{"id": 1, "name": "a b", "tags": []any{"x", "y"}}, `POST https://api.test/v1/pets/1 {"content-type":"application/x-www-form-urlencoded"} name=a+b&tags=x&tags=y`},
		"form with encoding": {body("application/x-www-form-urlencoded: {encoding: {tags: {style: form, explode: false}, o: {style: deepObject, explode: true}}}"),
			map[string]any{"id": 1, "tags": []any{"x", "y"}, "o": map[string]any{"k": 1}, "p": map[string]any{"k": 1}}, `POST https://api.test/v1/pets/1 {"content-type":"application/x-www-form-urlencoded"} o%5Bk%5D=1&p=%7B%22k%22%3A1%7D&tags=x,y`},
		"JSON before a form":       {body("application/x-www-form-urlencoded: {}, application/vnd.x+json: {}"), map[string]any{"id": 1, "body": map[string]any{"a": 1}}, `POST https://api.test/v1/pets/1 {"content-type":"application/vnd.x+json"} {"a":1}`},
		"text":                     {body("text/plain: {}"), map[string]any{"id": 1, "body": "hello"}, `POST https://api.test/v1/pets/1 {"content-type":"text/plain"} hello`},
		"a string of JSON":         {body("application/json: {}"), map[string]any{"id": 1, "body": "hello"}, `POST https://api.test/v1/pets/1 {"content-type":"application/json"} "hello"`},
		"missing parameter":        {plain, map[string]any{}, `the operation requires the parameter "id"`},
		"missing body":             {fmt.Sprintf(described, "      requestBody: {required: true, content: {application/json: {}}}"), map[string]any{"id": 1}, `the operation requires a body: give its fields, or body, among the parameters`},
		"servers of the operation": {fmt.Sprintf(described, "      servers: [{url: ../other}]"), map[string]any{"id": 1}, "POST https://docs.test/other/pets/1"},
		"no default":               {`{"openapi":"3.0.0","servers":[{"url":"https://{x}.test"}],"paths":{"/a":{"get":{"operationId":"op"}}}}`, nil, `the variable "x" of the server's URL has no default in the OpenAPI description`},
		"misspelt operation":       {strings.Replace(plain, "operationId: op", "operationId: opp", 1), nil, `the OpenAPI description has no operation "op": did you mean "opp"?`},
		"misspelt parameter":       {`{"openapi":"3.0.0","paths":{"/a":{"get":{"operationId":"op","parameters":[{"name":"limit","in":"query"}]}}}}`, map[string]any{"limt": 1}, `the operation has no parameter "limt": did you mean "limit"?`},
		"outside reference":        {`{"openapi":"3.0.0","paths":{"/a":{"get":{"operationId":"op","parameters":[{"$ref":"other.yaml#/a"}]}}}}`, nil, `the OpenAPI description refers to "other.yaml#/a", which is outside of it`},
		"cycle":                    {`{"openapi":"3.0.0","paths":{"/a":{"$ref":"#/paths/~1a"}}}`, nil, `the OpenAPI description has more than 16 references in a row`},
		"not a description":        {"a: [", nil, "the OpenAPI description cannot be read: line 1: did not find expected node content"},
		"Swagger 2 lists":          {"swagger: '2.0'\nhost: api.test\nschemes: [https]\nbasePath: /v1\npaths: {/a: {get: {operationId: op, parameters: [{name: c, in: query, type: array}, {name: m, in: query, type: array, collectionFormat: multi}, {name: p, in: query, type: array, collectionFormat: pipes}]}}}", map[string]any{"c": []any{1, 2}, "m": []any{1, 2}, "p": []any{1, 2}}, "GET https://api.test/v1/a?c=1,2&m=1&m=2&p=1%7C2"},
		"Swagger 2 form":           {`{"swagger":"2.0","host":"api.test","schemes":["https"],"paths":{"/a":{"post":{"operationId":"op","parameters":[{"name":"l","in":"formData","type":"array"},{"name":"x","in":"formData"}]}}}}`, map[string]any{"l": []any{1, 2}, "x": "a b"}, `POST https://api.test/a {"content-type":"application/x-www-form-urlencoded"} l=1,2&x=a+b`},
	} {
		if got := build(t, test.description, test.values); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, test.want)
		}
	}
}

// TestServersReadWhatIsSent: a server on net/http parses what the styles write.
func TestServersReadWhatIsSent(t *testing.T) {
	t.Parallel()
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		if err != nil {
			t.Error(err)
			return
		}
		got = r.PathValue("id") + r.URL.Path + " " + r.URL.Query().Get("filter[a]") + " " + r.URL.Query().Get("q") + " " + cookie.Value
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	parsed, err := Parse([]byte("openapi: 3.0.0\npaths: {'/p/{id}': {get: {operationId: op, parameters: [{name: id, in: path}, {name: session, in: cookie}, {name: q, in: query}, {name: filter, in: query, style: deepObject}]}}}"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parsed.Build(server.URL+"/openapi.yaml", "op", map[string]any{"id": "a/b ü", "session": "x=1", "q": "a+b&c=d", "filter": map[string]any{"a": "1 2"}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "/p/a/b ü 1 2 a+b&c=d x=1"; got != want {
		t.Errorf("the server reads %q, want %q", got, want)
	}
}
