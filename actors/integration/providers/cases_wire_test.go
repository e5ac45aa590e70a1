package providers_test

import (
	"cmp"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// triedInGo are the providers whose calls wire_*_test.go tries instead of a case.
var triedInGo = []string{
	"github", "gmail", "google_analytics", "google_calendar", "google_drive", "google_sheets", "http", "microsoft_teams",
	"onedrive", "outlook_mail", "slack",
}

// Every provider's cases: the request is as it should be, the answer becomes the output, an error gets its class.
func TestCases(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, id := range providerIDs(t) {
		c, p := caseOf(t, id), loaded[id]
		if c == nil {
			t.Errorf("there is no testdata/%s.yaml", id)
			continue
		}
		if p == nil {
			continue // TestEveryManifestLoads says why.
		}
		for _, w := range c.Wire {
			w.run(t, client, p, c)
		}
		if !slices.Contains(triedInGo, id) {
			c.complete(t, p)
		}
	}
}

// complete says what a provider's cases leave untried: the probe, an output that is made of expressions, an error.
func (c *providerCase) complete(t *testing.T, p *manifest.Provider) {
	t.Helper()
	tried, failed := map[string]bool{}, false
	for _, w := range c.Wire {
		if w.Error != nil {
			failed = true
		} else if w.Request != nil && w.Output != nil {
			tried[w.Action] = true
		}
	}
	if !failed {
		t.Errorf("%s: no case has an error", p.ID)
	}
	for _, a := range append(slices.Clone(p.Actions), p.Health) {
		if !tried[a.ID] {
			t.Errorf("%s: no case tries request and output of %s", p.ID, a.ID)
		}
	}
}

func (w *wireCase) run(t *testing.T, client *egress.Client, p *manifest.Provider, c *providerCase) {
	t.Helper()
	a := p.Health
	if w.Action != p.Health.ID {
		var ok bool
		if a, ok = p.Action(w.Action); !ok {
			t.Errorf("%s: there is no action %s", p.ID, w.Action)
			return
		}
	}
	if len(w.Before) != len(a.Before) {
		t.Errorf("%s %s: %d requests come before its own, not %d", p.ID, w.Action, len(a.Before), len(w.Before))
		return
	}
	address, last := vendors(t, append(slices.Clone(w.Before), w.exchange))
	conn := c.connection(p, w.Auth, w.Settings, w.Credentials)
	if err := p.ValidateConnection(conn); err != nil {
		t.Errorf("%s %s: connection: %v", p.ID, w.Action, err)
		return
	}
	conn = fetched(p, conn)
	conn.BaseURL = address
	input := w.Input
	if input == nil {
		input = a.Example
	}
	if err := a.ValidateInput(input); err != nil {
		t.Errorf("%s %s: input: %v", p.ID, w.Action, err)
		return
	}
	name, before := p.ID+" "+w.Action, map[string]any{}
	for i, step := range a.Before {
		got, ok := w.Before[i].made(t, client, step.Action, conn, manifest.Call{Input: input, Before: before}, last)
		output, failed := step.Interpret(conn, input, got)
		if !ok || failed != nil {
			t.Errorf("%s: %s: %v", name, step.ID, failed)
			return
		}
		before[step.ID] = output
	}
	if got, ok := w.made(t, client, a, conn, manifest.Call{Input: input, Before: before}, last); ok {
		w.came(t, a, conn, input, got)
	}
}

// vendors is vendor with several answers, one after the other.
func vendors(t *testing.T, answers []exchange) (address string, last *seen) {
	t.Helper()
	last = &seen{}
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.keep(t, r)
		answer := answers[0].Answer
		answers = answers[min(1, len(answers)-1):]
		w.Header().Set("Content-Type", "application/json")
		for name, value := range answer.Headers {
			w.Header().Set(name, strings.ReplaceAll(value, "@vendor", server.URL))
		}
		w.WriteHeader(cmp.Or(answer.Status, 200))
		body := answer.Body
		if answer.JSON != nil {
			body = asJSON(t, answer.JSON)
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "@vendor", server.URL))
	}))
	t.Cleanup(server.Close)
	return server.URL, last
}

// made makes a request and compares what the vendor's server saw of it.
func (e *exchange) made(
	t *testing.T, client *egress.Client, a *manifest.Action, conn manifest.Connection, of manifest.Call, last *seen,
) (manifest.Answer, bool) {
	t.Helper()
	name := a.Provider().ID + " " + a.ID
	of.Object = aFile
	r, err := a.Request(conn, of)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return manifest.Answer{}, false
	}
	answer, err := client.Do(t.Context(), r.Request)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return manifest.Answer{}, false
	}
	if e.Request != nil {
		for _, difference := range e.differences(t, last) {
			t.Errorf("%s: %s", name, difference)
		}
	}
	if e.Answer.Object != nil && !r.ToObject {
		t.Errorf("%s: the answer is not kept as an object", name)
	}
	return manifest.Answer{
		Status: answer.Status, Header: answer.Header, Body: answer.Body, Object: e.Answer.Object, At: time.Unix(1_800_000_000, 0),
	}, true
}

// differences says how a request is not the one that the case wants.
func (e *exchange) differences(t *testing.T, last *seen) []string {
	t.Helper()
	want, all := e.Request, []string(nil)
	differs := func(what, got, wanted string) {
		if got != wanted {
			all = append(all, what+" is\n"+got+", want\n"+wanted)
		}
	}
	differs("method", last.method, want.Method)
	differs("path", last.path, want.Path)
	differs("query", last.query.Encode(), encoded(want.Query))
	for name, value := range want.Headers {
		differs("header "+name, last.header.Get(name), value)
	}
	switch {
	case want.JSON != nil:
		var got any
		if err := json.Unmarshal([]byte(last.body), &got); err != nil {
			return append(all, "body is not JSON: "+last.body)
		}
		differs("body", asJSON(t, got), asJSON(t, want.JSON))
	case want.Form != nil:
		differs("body", last.body, encoded(want.Form))
	case want.Body != nil:
		differs("body", last.text(), *want.Body)
	default:
		differs("body", last.body, "")
	}
	return all
}

// text is the body, with a boundary that does not change.
func (s *seen) text() string {
	if _, parameters, err := mime.ParseMediaType(s.contentType); err == nil && parameters["boundary"] != "" {
		return strings.ReplaceAll(s.body, parameters["boundary"], "boundary")
	}
	return s.body
}

// encoded is a query or form: a list is its name repeated.
func encoded(fields map[string]any) string {
	values := url.Values{}
	for name, value := range fields {
		items, many := value.([]any)
		if !many {
			items = []any{value}
		}
		for _, item := range items {
			text, isText := item.(string)
			if !isText {
				data, _ := json.Marshal(item)
				text = string(data)
			}
			values.Add(name, text)
		}
	}
	return values.Encode()
}

// came compares what the answer means.
func (w *wireCase) came(t *testing.T, a *manifest.Action, conn manifest.Connection, input map[string]any, answer manifest.Answer) {
	t.Helper()
	name := a.Provider().ID + " " + w.Action
	output, failed := a.Interpret(conn, input, answer)
	if w.Error == nil {
		if failed != nil {
			t.Errorf("%s: %v", name, failed)
		} else if w.Output != nil && asJSON(t, output) != asJSON(t, w.Output) {
			t.Errorf("%s: output is\n%s, want\n%s", name, asJSON(t, output), asJSON(t, w.Output))
		}
	} else {
		w.failed(t, name, failed)
	}
	if w.Next == nil {
		return
	}
	next, more, err := a.NextPage(conn, input, answer)
	if err != nil || more != (len(w.Next) > 0) {
		t.Errorf("%s: next page is %v, %v, %v", name, next, more, err)
		return
	}
	for field, value := range w.Next {
		if asJSON(t, next[field]) != asJSON(t, value) {
			t.Errorf("%s: next page has %s %v, want %v", name, field, next[field], value)
		}
	}
	if more && a.ValidateInput(next) != nil {
		t.Errorf("%s: the next page's input is refused: %v", name, a.ValidateInput(next))
	}
}

func (w *wireCase) failed(t *testing.T, name string, failed *manifest.CallError) {
	t.Helper()
	want := w.Error
	if failed == nil {
		t.Errorf("%s: %d %s is taken for success", name, w.Answer.Status, w.Answer.Body)
		return
	}
	after := time.Duration(0)
	if want.RetryAfter != "" {
		var err error
		if after, err = time.ParseDuration(want.RetryAfter); err != nil {
			t.Fatal(err)
		}
	}
	if string(failed.Class) != want.Class || failed.Expired != want.Expired || failed.RetryAfter != after ||
		want.Code != nil && failed.Code != *want.Code || want.Message != nil && failed.Message != *want.Message {
		t.Errorf("%s: got %+v, want %s", name, *failed, asJSON(t, want))
	}
}
