package providers_test

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
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

// TestCases makes the calls of every provider's case. It compares the requests with those expected, and the outputs, errors
// and next pages of their responses.
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
			t.Errorf("%s.yaml has no case testdata/%s.yaml", id, id)
			continue
		}
		if p == nil {
			continue // TestManifestsLoad reports the error.
		}
		for _, w := range c.Wire {
			w.run(t, client, p, c)
		}
		if !c.TestedInGo {
			c.complete(t, p)
		}
	}
}

// complete checks that the case has a successful call of the health probe and of each action, and one that fails.
func (c *providerCase) complete(t *testing.T, p *manifest.Provider) {
	t.Helper()
	tested, failed := map[string]bool{}, false
	for _, w := range c.Wire {
		if w.Error != nil {
			failed = true
		} else if w.Request != nil && w.Output != nil {
			tested[w.Action] = true
		}
	}
	if !failed {
		t.Errorf("testdata/%s.yaml: no call has an error", p.ID)
	}
	for _, a := range append(slices.Clone(p.Actions), p.Health) {
		if !tested[a.ID] {
			t.Errorf("testdata/%s.yaml: no call of %s has a request and an output", p.ID, a.ID)
		}
	}
}

func (w *wireCase) run(t *testing.T, client *egress.Client, p *manifest.Provider, c *providerCase) {
	t.Helper()
	a := p.Health
	if w.Action != p.Health.ID {
		var ok bool
		if a, ok = p.Action(w.Action); !ok {
			t.Errorf("testdata/%s.yaml: unknown action %s", p.ID, w.Action)
			return
		}
	}
	if len(w.Before) != len(a.Before) {
		t.Errorf("%s %s: the action has %d steps, the case %d", p.ID, w.Action, len(a.Before), len(w.Before))
		return
	}
	address, last := newServer(t, append(slices.Clone(w.Before), w.exchange))
	conn := c.connection(p, w.Auth, w.Settings, w.Credentials)
	if err := p.ValidateConnection(conn); err != nil {
		t.Errorf("%s %s: connection: %v", p.ID, w.Action, err)
		return
	}
	conn = withFetchedToken(p, conn)
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
		got, ok := w.Before[i].call(t, client, step.Action, conn, manifest.Call{Input: input, Before: before}, last)
		output, failed := step.Interpret(conn, input, got)
		if !ok || failed != nil {
			t.Errorf("%s: %s: %v", name, step.ID, failed)
			return
		}
		before[step.ID] = output
	}
	if got, ok := w.call(t, client, a, conn, manifest.Call{Input: input, Before: before}, last); ok {
		w.checkResult(t, a, conn, input, got)
	}
}

// newServer starts a server that returns the responses of the exchanges in sequence, and records the last request.
func newServer(t *testing.T, answers []exchange) (address string, last *received) {
	t.Helper()
	last = &received{}
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.record(t, r)
		answer := answers[0].Answer
		answers = answers[min(1, len(answers)-1):]
		w.Header().Set("Content-Type", "application/json")
		for name, value := range answer.Headers {
			w.Header().Set(name, strings.ReplaceAll(value, "@server", server.URL))
		}
		w.WriteHeader(cmp.Or(answer.Status, 200))
		body := answer.Body
		if answer.JSON != nil {
			body = asJSON(t, answer.JSON)
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "@server", server.URL))
	}))
	t.Cleanup(server.Close)
	return server.URL, last
}

// call makes the request of an action and compares it, as the server received it, with the expected one.
func (e *exchange) call(
	t *testing.T, client *egress.Client, a *manifest.Action, conn manifest.Connection, of manifest.Call, last *received,
) (manifest.Answer, bool) {
	t.Helper()
	name := a.Provider().ID + " " + a.ID
	of.Object = testObject
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
		t.Errorf("%s: the response is not stored as an object", name)
	}
	return manifest.Answer{
		Status: answer.Status, Header: answer.Header, Body: answer.Body, Object: e.Answer.Object, At: time.Unix(1_800_000_000, 0),
	}, true
}

// differences describes how a received request differs from the expected one.
func (e *exchange) differences(t *testing.T, last *received) []string {
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

// text returns the body. It replaces the random boundary of a multipart body by "boundary".
func (r *received) text() string {
	if _, parameters, err := mime.ParseMediaType(r.contentType); err == nil && parameters["boundary"] != "" {
		return strings.ReplaceAll(r.body, parameters["boundary"], "boundary")
	}
	return r.body
}

// encoded encodes a query or form; a list repeats its name.
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

// checkResult compares the output, the error and the next page of a response with those expected.
func (w *wireCase) checkResult(t *testing.T, a *manifest.Action, conn manifest.Connection, input map[string]any, answer manifest.Answer) {
	t.Helper()
	name := a.Provider().ID + " " + w.Action
	output, failed := a.Interpret(conn, input, answer)
	if w.Error == nil {
		if failed != nil {
			t.Errorf("%s: %v", name, failed)
		} else if want := w.page(a); w.Output != nil && asJSON(t, output) != asJSON(t, want) {
			t.Errorf("%s: output is\n%s, want\n%s", name, asJSON(t, output), asJSON(t, want))
		}
	} else {
		w.checkError(t, name, failed)
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
		t.Errorf("%s: invalid input for the next page: %v", name, a.ValidateInput(next))
	}
}

// page returns the expected output. That of a paginated action has the cursor of Next, and a list in items.
func (w *wireCase) page(a *manifest.Action) any {
	if !a.Paginated || w.Output == nil {
		return w.Output
	}
	page, ok := w.Output.(map[string]any)
	if page = maps.Clone(page); !ok {
		page = map[string]any{"items": w.Output}
	}
	if delete(page, manifest.NextCursorField); w.Next[a.Cursor] != nil {
		page[manifest.NextCursorField] = w.Next[a.Cursor]
	}
	return page
}

// checkError compares an error with the expected one.
func (w *wireCase) checkError(t *testing.T, name string, failed *manifest.CallError) {
	t.Helper()
	want := w.Error
	if failed == nil {
		t.Errorf("%s: the response %d %s is a success, want an error", name, w.Answer.Status, w.Answer.Body)
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
