package manifest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func interpret(t *testing.T, p *manifest.Provider, status int, body string, header ...string) (any, *manifest.CallError) {
	t.Helper()
	answer := manifest.Answer{Status: status, Header: http.Header{}, Body: []byte(body), At: noon}
	for i := 0; i < len(header); i += 2 {
		answer.Header.Set(header[i], header[i+1])
	}
	a, _ := p.Action("get_thing")
	return a.Interpret(key, map[string]any{"id": "x"}, answer)
}

func text(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, output, body, header, want string }{
		{"body", "", `{"a": 12345678901234567890.10}`, "application/json", `{"a":12345678901234567890.10}`},
		{"mapped", `{a: "${ .body.a }", s: "${ .status }", h: "${ .headers.etag }", i: "${ .input.id }", none: "${ .body.z }", kept: null}`, `{"a":[1]}`, "", `{"a":[1],"h":"W/1","i":"x","kept":null,"s":200}`},
		{"empty", "", "", "", `null`},
		{"text", "", "hello", "text/plain", `"hello"`},
		{"json without a type", "", `[1]`, "", `[1]`},
		{"broken json", "", `{"a":`, "application/json", `"{\"a\":"`},
		{"two values", "", `{} {}`, "application/json", `"{} {}"`},
		{"binary", "", "\xff\xfe", "image/png", `"//4="`},
		{"time", `"${ .now }"`, "", "", fmt.Sprint(noon.Unix())},
	} {
		changes := []string{}
		if c.output != "" {
			changes = []string{"safety: read", "safety: read\n    output: " + c.output}
		}
		output, failed := interpret(t, load(t, changes...), 200, c.body, "Content-Type", c.header, "ETag", "W/1")
		if failed != nil || text(output) != c.want {
			t.Errorf("%s: got %s, %v", c.name, text(output), failed)
		}
	}
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	plain := load(t)
	rules := load(t, "auth:", `success: '${ .status == 200 and .body.ok == true }'
errors:
  code: ${ .body.error }
  retry_after: ${ .body.wait }
  rules:
    - {class: auth, expired: true, when: '${ .body.error == "expired" }'}
    - {class: limited, status: [200, 403], when: '${ .body.error == "slow" }'}
    - {class: conflict, status: [403]}
    - {class: invalid, when: '${ .body.error | explode | error }'}
auth:`, "safety: read", `safety: read
    errors:
      rules: [{class: not_found, when: '${ .body.error == "gone" }'}]`)
	for _, c := range []struct {
		name   string
		p      *manifest.Provider
		status int
		body   string
		header []string
		want   manifest.CallError
	}{
		{"401", plain, 401, `{"message":"Bad credentials"}`, nil, manifest.CallError{Class: "auth", Status: 401, Message: "Bad credentials", Expired: true}},
		{"403", plain, 403, `{"error":{"message":"No"}}`, nil, manifest.CallError{Class: "auth", Status: 403, Message: "No"}},
		{"404", plain, 404, ``, nil, manifest.CallError{Class: "not_found", Status: 404}},
		{"409", plain, 409, `"x"`, []string{"Content-Type", "application/json"}, manifest.CallError{Class: "conflict", Status: 409, Message: "x"}},
		{"422", plain, 422, `{"errors":[{"message":"e"}]}`, nil, manifest.CallError{Class: "invalid", Status: 422, Message: "e"}},
		{"429", plain, 429, `{"detail":"slow"}`, []string{"Retry-After", "30"}, manifest.CallError{Class: "limited", Status: 429, Message: "slow", RetryAfter: 30 * time.Second}},
		{"429 with a date", plain, 429, `[]`, []string{"Retry-After", "Mon, 23 Nov 2026 12:01:00 GMT"}, manifest.CallError{Class: "limited", Status: 429, RetryAfter: time.Minute}},
		{"503", plain, 503, `<html>  <b>down</b>` + "\n\x00\x1b[31m", nil, manifest.CallError{Class: "unavailable", Status: 503, Message: "<html> <b>down</b> [31m"}},
		{"302", plain, 302, ``, nil, manifest.CallError{Class: "unknown", Status: 302}},
		{"200 with an error", rules, 200, `{"ok":false,"error":"expired"}`, nil, manifest.CallError{Class: "auth", Status: 200, Code: "expired", Message: "expired", Expired: true}},
		{"200 with retry_after", rules, 200, `{"ok":false,"error":"slow","wait":2.5}`, nil, manifest.CallError{Class: "limited", Status: 200, Code: "slow", Message: "slow", RetryAfter: 2500 * time.Millisecond}},
		{"status and expression", rules, 403, `{"error":"other"}`, nil, manifest.CallError{Class: "conflict", Status: 403, Code: "other", Message: "other"}},
		{"rule of the action", rules, 403, `{"error":"gone"}`, nil, manifest.CallError{Class: "not_found", Status: 403, Code: "gone", Message: "gone"}},
		{"no rule matches", rules, 500, `{"error":7}`, nil, manifest.CallError{Class: "unavailable", Status: 500, Code: "7"}},
		{"body is text", rules, 500, `oops`, nil, manifest.CallError{Class: "unavailable", Status: 500, Message: "oops"}},
	} {
		_, failed := interpret(t, c.p, c.status, c.body, c.header...)
		if failed == nil || *failed != c.want {
			t.Errorf("%s: got %+v", c.name, failed)
		}
	}
	if _, failed := interpret(t, load(t, "safety: read", "safety: read\n    output: '${ .body.a.b }'"), 200, `{"a":"s"}`); failed == nil || failed.Class != manifest.ClassUnknown || failed.Code != "output" {
		t.Errorf("an output that cannot be evaluated: %+v", failed)
	}
}

func TestCredentialsAreRedacted(t *testing.T) {
	t.Parallel()
	secret := "s3cr/t+k3y==\""
	conn := manifest.Connection{Credentials: map[string]any{"api_key": secret}}
	p := load(t, "safety: read", "safety: read\n    output: '${ {body, headers} }'")
	a, _ := p.Action("get_thing")
	forms := []string{secret, "s3cr%2Ft%2Bk3y%3D%3D%22", "czNjci90K2szeT09Ig=="}
	for _, form := range forms {
		echo, err := json.Marshal(map[string]any{"message": "your " + form + " is wrong", "list": []string{form}})
		if err != nil {
			t.Fatal(err)
		}
		answer := manifest.Answer{Body: echo, Header: http.Header{"X-Echo": {form}}}
		answer.Status = 200
		output, failed := a.Interpret(conn, nil, answer)
		if failed != nil || strings.Contains(text(output), text(form)[1:len(text(form))-1]) || strings.Count(text(output), manifest.Redacted) != 3 {
			t.Errorf("%s: output %s, %v", form, text(output), failed)
		}
		answer.Status = 401
		if _, failed := a.Interpret(conn, nil, answer); failed == nil || failed.Message != "your "+manifest.Redacted+" is wrong" {
			t.Errorf("%s: message %+v", form, failed)
		}
	}
	// Nor are credentials part of the error of a request that cannot be built because of them.
	bad := load(t, "in: bearer", "in: bearer, value: '${ .credentials.api_key | tonumber }'")
	a, _ = bad.Action("get_thing")
	for _, secret := range []string{secret, strings.Repeat("k3y", 100)} {
		conn := manifest.Connection{Credentials: map[string]any{"api_key": secret}}
		if _, err := a.Request(conn, manifest.Call{Input: map[string]any{"id": "x"}}); err == nil || strings.Contains(err.Error(), "k3y") {
			t.Errorf("got %v", err)
		}
	}
}

func TestPublicCredentialsAreNotRedacted(t *testing.T) {
	t.Parallel()
	p := load(t, "- {id: token, kind: api_key, in: bearer}", "- {id: b, kind: basic}")
	conn := manifest.Connection{Credentials: map[string]any{"username": "administrator", "password": "long-password"}}
	a, _ := p.Action("get_thing")
	output, failed := a.Interpret(conn, nil, manifest.Answer{Status: 200, Body: []byte(`["administrator","long-password","YWRtaW5pc3RyYXRvcjpsb25nLXBhc3N3b3Jk"]`)})
	if failed != nil || text(output) != `["administrator","[redacted]","[redacted]"]` {
		t.Errorf("got %s, %v", text(output), failed)
	}
}

func TestCredentialsWithACommonPrefix(t *testing.T) {
	t.Parallel()
	p := load(t, "- {id: token, kind: api_key, in: bearer}", "- {id: b, kind: basic, credentials: {type: object, properties: {username: {type: string}, password: {type: string}}}}")
	a, _ := p.Action("get_thing")
	for _, c := range [][2]string{{"abcdefgh", "abcdefghSECRET"}, {"abcdefghSECRET", "abcdefgh"}} {
		conn := manifest.Connection{Credentials: map[string]any{"username": c[0], "password": c[1]}}
		output, _ := a.Interpret(conn, nil, manifest.Answer{Status: 200, Body: []byte(`["abcdefghSECRET"]`)})
		if text(output) != `["[redacted]"]` {
			t.Errorf("got %s", text(output))
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	p := load(t, "id: {type: string}", "id: {type: string}\n        cursor: {type: string}", "safety: read", `safety: read
    pagination: {items: "${ .output.list }", cursor: cursor, next: "${ .body.next }"}`)
	a, _ := p.Action("get_thing")
	input := map[string]any{"id": "x"}
	answer := manifest.Answer{Status: 200, Body: []byte(`{"list":[1,2],"next":"c2"}`)}
	next, more, err := a.NextPage(key, input, answer)
	if err != nil || !more || text(next) != `{"cursor":"c2","id":"x"}` || len(input) != 1 {
		t.Errorf("got %v, %v, %v", next, more, err)
	}
	output, _ := a.Interpret(key, input, answer)
	if text(a.Items(output)) != "[1,2]" {
		t.Errorf("items %v", a.Items(output))
	}
	answer.Body = []byte(`{"list":[3],"next":null}`)
	if _, more, err := a.NextPage(key, input, answer); more || err != nil {
		t.Errorf("got %v, %v", more, err)
	}
}

func TestUnanswered(t *testing.T) {
	t.Parallel()
	for kind, want := range map[egress.Kind]manifest.Class{
		egress.KindTimeout: manifest.ClassUnavailable, egress.KindConnect: manifest.ClassUnavailable, egress.KindBlocked: manifest.ClassInvalid,
		egress.KindHost: manifest.ClassInvalid, egress.KindTooLarge: manifest.ClassUnknown,
	} {
		failed := manifest.Unanswered(&egress.Error{Kind: kind, Host: "h"})
		if failed.Class != want || failed.Code != string(kind) || failed.Message == "" {
			t.Errorf("%s: got %+v", kind, failed)
		}
	}
	if failed := manifest.Unanswered(&egress.OpenError{Provider: "p", Host: "h"}); failed.Class != manifest.ClassUnavailable || failed.Code != "breaker_open" {
		t.Errorf("got %+v", failed)
	}
}
