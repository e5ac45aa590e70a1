package dispatch_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// hang does not answer until the client has given up.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// refusing returns the URL of a port that nothing listens on.
func refusing(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// Each kind of failure is logged with its status or its reason, and a delivery with it is not delivered.
func TestFailures(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Database{Name: "sqlite"}, func(o *dispatch.Options) { o.Timeout = 4 * time.Second })
	answer := func(handler http.HandlerFunc) string { return receiveWith(t, handler) }
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	for name, c := range map[string]struct {
		url    string
		status int
		text   string // part of the error; empty for a success
		answer string // the beginning of the logged answer
	}{
		"success":      {answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }), 202, "", ""},
		"server error": {answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", 500) }), 500, "answered 500", "broken"},
		"redirect": {answer(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}), 307, "redirects are not followed", ""},
		"not modified": {answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }), 304, "answered 304", ""},
		"hang":         {answer(hang), 0, "timed out", ""},
		"refused":      {refusing(t), 0, "connection failed", ""},
		"TLS":          {secure.URL, 0, "connection failed", ""},
		"cut":          {answer(func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }), 0, "connection broken", ""},
		"not a scheme": {"ftp://127.0.0.1/", 0, "only https", ""},
		"not a host":   {"http://", 0, "invalid request", ""},
		"blocked":      {"http://10.0.0.1/", 0, "does not resolve to an allowed address", ""},
		"endless body": {answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, endless{}) }), 200, "", strings.Repeat("x", dispatch.MaxAnswer)},
		"unknown codes": {answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "no")
			w.WriteHeader(200)
			_, _ = w.Write([]byte("x"))
		}), 200, "", ""},
		"not text": {answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a\x00b\xffc")) }), 200, "", "a\uFFFDb\uFFFDc"},
		"cut body": {answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("begin"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}), 200, "", "begin"},
		"hanging body": {answer(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("begin"))
			w.(http.Flusher).Flush()
			hang(w, r)
		}), 200, "", "begin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			a := f.Attempt(t.Context(), dispatch.Endpoint{ID: "e", URL: c.url, Secrets: []string{dispatch.NewSecret()}}, event(`{}`))
			if a.Status != c.status || (a.Error == "") != (c.text == "") || !strings.Contains(a.Error, c.text) || !strings.HasPrefix(a.Answer, c.answer) {
				t.Errorf("%+v, want %d, %q", a, c.status, c.text)
			}
			if len(a.Answer) > dispatch.MaxAnswer || time.Since(begin) > 10*time.Second {
				t.Errorf("an answer of %d bytes after %s", len(a.Answer), time.Since(begin))
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A 410 ends a delivery at once, and its outcome says so.
func TestGone(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
		endpoint := f.register(dispatch.Endpoint{URL: r.URL, Schedule: []time.Duration{time.Minute}})
		f.run(t)
		f.add(t, event(`{}`), endpoint)
		f.settled(t, endpoint)
		if d := f.deliveries(t, endpoint)[0]; d.Status != dispatch.StatusFailed || d.Attempts != 1 {
			t.Errorf("%+v", d)
		}
		if list := f.recorded(); len(list) != 1 || !list[0].Gone || !list[0].Final || list[0].Succeeded {
			t.Errorf("%+v", list)
		}
	})
}

// A 429 or 503 with Retry-After moves the next attempt, as seconds or as a date.
func TestRetryAfter(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		for name, value := range map[string]func() string{
			"seconds": func() string { return "7200" },
			"date":    func() string { return time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat) },
		} {
			r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", value())
				w.WriteHeader(http.StatusTooManyRequests)
			})
			endpoint := f.register(dispatch.Endpoint{URL: r.URL, Schedule: []time.Duration{time.Minute}})
			stop := f.again(t).run(t)
			f.add(t, event(`{}`), endpoint)
			actortest.Eventually(t, "an attempt", func() bool { return f.deliveries(t, endpoint)[0].Attempts == 1 })
			stop()
			d := f.deliveries(t, endpoint)[0]
			if delay := d.NextAttemptAt.Sub(d.Log[0].StartedAt); delay < 2*time.Hour-2*time.Second || delay > 2*time.Hour+time.Minute {
				t.Errorf("%s: the next attempt is after %s", name, delay)
			}
		}
	})
}

// What Take refuses is postponed and not counted as an attempt.
func TestRate(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		var f *fixture
		left := make(chan struct{}, 100)
		for range 3 {
			left <- struct{}{}
		}
		f = setup(t, kind, func(o *dispatch.Options) {
			o.Take = func(_ context.Context, e dispatch.Endpoint) (time.Duration, error) {
				select {
				case <-left:
					return 0, nil
				default:
					return time.Minute / time.Duration(e.PerMinute), nil
				}
			}
		})
		r := receive(t, nil)
		endpoint := f.register(dispatch.Endpoint{URL: r.URL, PerMinute: 2})
		f.run(t)
		for range 5 {
			f.add(t, event(`{}`), endpoint)
		}
		actortest.Eventually(t, "three of five", func() bool {
			return f.statuses(t, endpoint)[dispatch.StatusSucceeded] == 3
		})
		for _, d := range f.deliveries(t, endpoint) {
			if d.Status == dispatch.StatusPending && d.Attempts != 0 {
				t.Errorf("%+v", d)
			}
		}
		left <- struct{}{}
		left <- struct{}{}
		f.clock.Advance(time.Minute)
		f.Wake()
		f.settled(t, endpoint)
		if n := len(r.requests()); n != 5 {
			t.Errorf("%d requests, want 5", n)
		}
	})
}

// Events that cannot be delivered are refused.
func TestRefusedEvents(t *testing.T) {
	t.Parallel()
	f := setup(t, actortest.Database{Name: "sqlite"})
	for name, change := range map[string]func(*dispatch.Event){
		"no id":            func(e *dispatch.Event) { e.ID = "" },
		"full stop":        func(e *dispatch.Event) { e.ID = "a.b" },
		"line end":         func(e *dispatch.Event) { e.ID = "a\nb" },
		"long id":          func(e *dispatch.Event) { e.ID = strings.Repeat("a", 129) },
		"no user":          func(e *dispatch.Event) { e.UserID = "" },
		"no type":          func(e *dispatch.Event) { e.Type = "" },
		"not JSON":         func(e *dispatch.Event) { e.Payload = []byte("{") },
		"large payload":    func(e *dispatch.Event) { e.Payload = []byte(`"` + strings.Repeat("a", dispatch.MaxPayload) + `"`) },
		"long ordering":    func(e *dispatch.Event) { e.Ordering = strings.Repeat("a", 201) },
		"NUL in ordering":  func(e *dispatch.Event) { e.Ordering = "\x00" },
		"nothing at all":   func(e *dispatch.Event) { *e = dispatch.Event{} },
		"an empty payload": func(e *dispatch.Event) { e.Payload = nil },
	} {
		e := event(`{}`)
		change(&e)
		err := f.db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error { return f.Add(ctx, tx, e, []string{"x"}) })
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Secrets are in no log of attempts and in no error, and payloads and answers are sealed at rest.
func TestNothingSecretIsStored(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		f := setup(t, kind)
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the-answer")) })
		endpoint := f.register(dispatch.Endpoint{URL: r.URL})
		f.run(t)
		f.add(t, event(`{"a":"the-payload"}`), endpoint)
		f.settled(t, endpoint)
		for _, table := range []string{"webhook_events", "webhook_deliveries", "webhook_attempts"} {
			var rows []map[string]any
			if err := f.db.NewSelect().TableExpr(table).Scan(t.Context(), &rows); err != nil {
				t.Fatal(err)
			}
			if len(rows) != 1 {
				t.Errorf("%d rows in %s", len(rows), table)
			}
			text := fmt.Sprintf("%s", rows)
			for _, secret := range []string{"the-answer", "the-payload", strings.TrimPrefix(endpoint.Secrets[0], "whsec_")} {
				if strings.Contains(text, secret) {
					t.Errorf("%s has %q", table, secret)
				}
			}
		}
	})
}
