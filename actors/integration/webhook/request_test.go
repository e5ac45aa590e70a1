package webhook_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/integration/webhook"
)

var formType = http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}

func TestRequestForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		r    webhook.Request
		want url.Values
		ok   bool
	}{
		"form":           {webhook.Request{Header: formType, Body: []byte("a=1&b=x+y&a=2")}, url.Values{"a": {"1", "2"}, "b": {"x y"}}, true},
		"empty form":     {webhook.Request{Header: formType}, url.Values{}, true},
		"invalid escape": {webhook.Request{Header: formType, Body: []byte("a=%zz")}, nil, false},
		"semicolons":     {webhook.Request{Header: formType, Body: []byte("a=1;b=2")}, nil, false},
		"other type":     {webhook.Request{Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte("a=1")}, nil, false},
		"no type":        {webhook.Request{Body: []byte("a=1")}, nil, false},
		"invalid type":   {webhook.Request{Header: http.Header{"Content-Type": {"/"}}, Body: []byte("a=1")}, nil, false},
		"type in upper case": {
			webhook.Request{Header: http.Header{"Content-Type": {"APPLICATION/X-WWW-FORM-URLENCODED"}}, Body: []byte("a=1")}, url.Values{"a": {"1"}}, true,
		},
	} {
		form, ok := c.r.Form()
		if ok != c.ok || ok && form.Encode() != c.want.Encode() {
			t.Errorf("%s: got %v, %v, want %v, %v", name, form, ok, c.want, c.ok)
		}
	}
}

func TestRequestJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"a":1}`: true, ` [] `: true, `"x"`: true, `null`: true, `1e400`: true,
		``: false, `{`: false, `{} {}`: false, `{}x`: false, `a=1`: false, "\xff": false,
	} {
		if value, ok := (webhook.Request{Body: []byte(body)}).JSON(); ok != want {
			t.Errorf("%q: got %v, %v, want %v", body, value, ok, want)
		}
	}
}

// TestAmbiguousPlaces: a place that is absent, empty, repeated or not a scalar carries no token.
func TestAmbiguousPlaces(t *testing.T) {
	t.Parallel()
	header := func(values ...string) webhook.Request {
		return webhook.Request{Header: http.Header{"X-Token": values, "Authorization": values}}
	}
	body := func(text string) webhook.Request { return webhook.Request{Body: []byte(text)} }
	for _, c := range []struct {
		place string
		r     webhook.Request
	}{
		{"header:X-Token", header()},
		{"header:X-Token", header("")},
		{"header:X-Token", header("s3cret", "s3cret")},
		{"header:x-token", header("s3cret", "other")},
		{"query:token", webhook.Request{Query: url.Values{"token": {"s3cret", "s3cret"}}}},
		{"query:token", webhook.Request{Query: url.Values{"Token": {"s3cret"}}}},
		{"form:token", webhook.Request{Header: formType, Body: []byte("token=s3cret&token=s3cret")}},
		{"form:token", body("token=s3cret")},
		{"body:/token", body(`{"token": ""}`)},
		{"body:/token", body(`{"token": null}`)},
		{"body:/token", body(`{"token": true}`)},
		{"body:/token", body(`{"token": {"a": "s3cret"}}`)},
		{"body:/token", body(`["s3cret"]`)},
		{"body:/0", body(`[]`)},
		{"body:/-1", body(`["s3cret"]`)},
		{"body:/x", body(`["s3cret"]`)},
		{"body:/a/b", body(`{"a": "s3cret"}`)},
		{"body:/token", body(`token`)},
		{"bearer", header("s3cret")},
		{"bearer", header("Basic s3cret")},
		{"bearer", header("Bearer ")},
		{"basic", header("Bearer czNjcmV0")},
		{"basic", header("Basic !")},
		{"basic", header("Basic czNjcmV0Cg")},
	} {
		s := compile(t, parse(t, `{"signature": {"kind": "token", "in": "`+c.place+`"}}`))
		if got, err := s.Verify(c.r, keys("s3cret"), time.Time{}); err == nil {
			t.Errorf("%s of %+v: verified: %+v", c.place, c.r, got)
		}
	}
}

// TestPlaceSpelling: header names and authorization schemes are case-insensitive, and JSON pointers may be escaped.
func TestPlaceSpelling(t *testing.T) {
	t.Parallel()
	for place, r := range map[string]webhook.Request{
		"header:x-token":    {Header: http.Header{"X-Token": {"7"}}},
		"bearer":            {Header: http.Header{"Authorization": {"BEARER 7"}}},
		"body:/a~1b/c~0d/1": {Body: []byte(`{"a/b": {"c~d": [0, 7]}}`)},
		"body:/":            {Body: []byte(`{"": "7"}`)},
		"body:/n":           {Body: []byte(`{"n": 7}`)},
	} {
		s := compile(t, parse(t, `{"signature": {"kind": "token", "in": "`+place+`"}}`))
		if _, err := s.Verify(r, keys("7"), time.Time{}); err != nil {
			t.Errorf("%s: %v", place, err)
		}
	}
}
