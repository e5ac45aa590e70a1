package subjects

import (
	"strings"
	"testing"
	"time"
)

type declareRequest struct {
	ID   string `json:"id" in:"path"`
	Note string `json:"note,omitempty" in:"header:X-Note"`
}

type declareReply struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// validEndpoint is a declaration that the cases below make invalid, one field at a time.
func validEndpoint() Endpoint[declareRequest, declareReply] {
	return Endpoint[declareRequest, declareReply]{
		Subject: "weft.v1.auth.declare_test", Route: "POST /v1/declare-test/{id}", Access: Public,
		Doc: "Does nothing. Never.", Secret: []string{"secret"},
	}
}

// panicOf returns the text with which f panics; "" if it does not.
func panicOf(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}

// Tests that declare endpoints change package variables, so they must not run in parallel.

func TestDeclare(t *testing.T) {
	saved := catalogue
	t.Cleanup(func() { catalogue = saved })
	e := declare(validEndpoint())
	d := e.Describe()
	if catalogue[len(catalogue)-1] != d || len(catalogue) != len(saved)+1 {
		t.Fatal("the endpoint is not in the catalogue")
	}
	if d.Actor != "auth" || d.Method != "declare_test" || d.Name() != "auth.declare_test" || d.HTTPMethod != "POST" || !d.Mutating {
		t.Errorf("got %+v", d)
	}
	if d.Summary != "Does nothing" || d.Status != 200 || d.Timeout != DefaultTimeout || d.Concurrency != DefaultConcurrency {
		t.Errorf("defaults are not applied: %+v", d)
	}
	if len(d.Fields) != 2 || d.Fields[0].In != "path" || !d.Fields[0].Required || d.Fields[1].In != "header" || d.Fields[1].Header != "X-Note" || d.Fields[1].Required {
		t.Errorf("fields are %+v", d.Fields)
	}
	if r := resolve(d.Response).Required; len(r) != 1 || r[0] != "id" {
		t.Errorf("the reply requires %v, although a replay omits secrets", r)
	}
	if text := panicOf(func() { declare(validEndpoint()) }); !strings.Contains(text, "already declared") {
		t.Errorf("a second declaration of the subject: %q", text)
	}
	other := validEndpoint()
	other.Subject = "weft.v1.auth.declare_test_2"
	if text := panicOf(func() { declare(other) }); !strings.Contains(text, "route is already declared by weft.v1.auth.declare_test") {
		t.Errorf("a second declaration of the route: %q", text)
	}
	other.Route = "GET /v1/declare-test/{id}"
	if d := declare(other).Describe(); d.Mutating {
		t.Error("GET is mutating")
	}
}

func TestDeclarePanics(t *testing.T) {
	saved := catalogue
	t.Cleanup(func() { catalogue = saved })
	for _, test := range []struct {
		want   string
		change func(*Endpoint[declareRequest, declareReply])
	}{
		{"does not have the form", func(e *Endpoint[declareRequest, declareReply]) { e.Subject = "weft.v2.auth.x" }},
		{"does not have the form", func(e *Endpoint[declareRequest, declareReply]) { e.Subject = "weft.v1.auth" }},
		{"does not have the form", func(e *Endpoint[declareRequest, declareReply]) { e.Subject = "weft.v1.auth.a.b" }},
		{"does not have the form", func(e *Endpoint[declareRequest, declareReply]) { e.Subject = "weft.v1.auth.*" }},
		{"METHOD /path", func(e *Endpoint[declareRequest, declareReply]) { e.Route = "/v1/declare-test/{id}" }},
		{"no Doc", func(e *Endpoint[declareRequest, declareReply]) { e.Doc = "" }},
		{"exceeds 5m0s", func(e *Endpoint[declareRequest, declareReply]) { e.Timeout = MaxTimeout + time.Second }},
		{"Stream requires", func(e *Endpoint[declareRequest, declareReply]) { e.Stream = true }},
		{"Produces requires", func(e *Endpoint[declareRequest, declareReply]) { e.Produces = "text/plain" }},
		{"Parts requires", func(e *Endpoint[declareRequest, declareReply]) { e.Parts = true }},
		{"BodyParts requires", func(e *Endpoint[declareRequest, declareReply]) { e.Body.Kind = BodyParts }},
		{"BodyParts requires", func(e *Endpoint[declareRequest, declareReply]) { e.Body.Upload = &Upload{} }},
		{"OwnLimits without Limits", func(e *Endpoint[declareRequest, declareReply]) { e.OwnLimits = true }},
		{"cookie field none is not", func(e *Endpoint[declareRequest, declareReply]) { e.Cookie = &Cookie{Field: "none"} }},
		{"field id must be in the path", func(e *Endpoint[declareRequest, declareReply]) { e.Route = "POST /v1/declare-test" }},
		{"field note must be in the path", func(e *Endpoint[declareRequest, declareReply]) { e.Route += "/{note}" }},
	} {
		e := validEndpoint()
		test.change(&e)
		if text := panicOf(func() { declare(e) }); !strings.Contains(text, test.want) {
			t.Errorf("want a panic with %q, got %q", test.want, text)
		}
		if len(catalogue) != len(saved) {
			t.Fatalf("an invalid endpoint is in the catalogue: %s", test.want)
		}
	}
}

func TestDeclareMessagePanics(t *testing.T) {
	type data struct{}
	for subject, doc := range map[string]string{
		"weft.event.v1.auth": "No name.", "weft.job.v1.auth.x": "A job.", "weft.event.v1.auth.x": "", "event": "No prefix.",
	} {
		saved := events
		if text := panicOf(func() { declareEvent(Event[data]{Subject: subject, Doc: doc}) }); !strings.Contains(text, subject) {
			t.Errorf("%s with Doc %q: %q", subject, doc, text)
		}
		if len(events) != len(saved) {
			t.Errorf("%s is listed", subject)
		}
	}
}

func TestSplitSubject(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string][2]string{
		"weft.v1.auth.login": {"auth", "login"}, "weft.v1.auth.": {}, "weft.v1.auth": {}, "weft.v1.auth.a.b": {}, "weft.v1.auth.>": {},
		"weft.v1.auth.*": {}, "weft.v1.auth.a b": {}, "weft.event.v1.auth.x": {}, "": {}, "xweft.v1.auth.login": {},
	} {
		actor, method, ok := splitSubject(subject)
		if ok != (want[0] != "") || ok && (actor != want[0] || method != want[1]) {
			t.Errorf("%q: got %q %q %t", subject, actor, method, ok)
		}
	}
}
