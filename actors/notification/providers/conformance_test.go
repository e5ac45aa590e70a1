package providers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
)

// conformant is one provider for the suite. To add a provider of an HTTP API, add an entry to conformants.
type conformant struct {
	name string
	// open makes the provider for an API on this machine.
	open func(t *testing.T, w *wire) channel.Provider
	// address is one that the API accepts; nil for smsAddress.
	address func(w *wire) channel.Address
	// accepted is the API's answer to a message that it accepts, id the id that it gives.
	accepted answer
	id       string
	// plainAnswer: an acceptance has no body that must be read.
	plainAnswer bool
	// refusals are the API's documented errors.
	refusals []refused
	// unauthorized is the class of 401 and 403 without a code; empty for Transient.
	unauthorized channel.Class
	// key returns what makes a repeated message show once; nil if the API has nothing of the kind.
	key func(t *testing.T, r recorded) string
	// secrets are in no error, besides the address and the text.
	secrets []string
}

// refused is one documented error.
type refused struct {
	name   string
	answer answer
	class  channel.Class
	code   string
}

func conformants() []conformant {
	return []conformant{twilioConformant(), snsConformant(), fcmConformant(), apnsConformant(), webPushConformant()}
}

func smsAddress(*wire) channel.Address { return channel.Address{To: "+15005550006"} }

// testMessage is a message with an address of the provider's.
func testMessage(c conformant, w *wire) channel.Message {
	address := smsAddress
	if c.address != nil {
		address = c.address
	}
	return channel.Message{
		ID: "0190f3a2-7b1e-7c3d-8e4f-000000000001.push", NotificationID: "0190f3a2-7b1e-7c3d-8e4f-000000000001", UserID: "user-canary",
		Category: "workflow", Address: address(w), Unread: 3,
		Rendered: channel.Rendered{Subject: "Title canary", Text: "Text canary"}, Data: map[string]json.RawMessage{"n": json.RawMessage(`7`)},
	}
}

func each(t *testing.T, test func(t *testing.T, c conformant, w *wire, p channel.Provider)) {
	t.Helper()
	for _, c := range conformants() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t)
			p := c.open(t, w)
			w.answer(c.accepted)
			test(t, c, w, p)
		})
	}
}

// wantError fails unless err is an *channel.Error of the class, and it or a cause shows a secret, the address or the text.
func wantError(t *testing.T, c conformant, w *wire, err error, class channel.Class) *channel.Error {
	t.Helper()
	var e *channel.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v, want an error of the class %s", err, err, class)
	}
	if e.Class != class || e.Detail == "" {
		t.Errorf("class %s %q (%s), want %s", e.Class, e.Detail, e.Code, class)
	}
	wantNoSecret(t, c, w, err)
	return e
}

func wantNoSecret(t *testing.T, c conformant, w *wire, err error) {
	t.Helper()
	m := testMessage(c, w)
	hidden := append([]string{m.Address.To, m.Subject, m.Text, m.UserID, "ya29", "eyJ"}, c.secrets...)
	for _, key := range m.Address.Keys {
		hidden = append(hidden, key)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		text := fmt.Sprintf("%v %+v", e, e)
		for _, secret := range hidden {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("%q is in the error %s", secret, text)
			}
		}
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		receipt, err := p.Send(t.Context(), testMessage(c, w))
		if err != nil || receipt.MessageID != c.id || receipt.Provider != p.Name() || p.Name() != c.name {
			t.Fatalf("got %+v, %v", receipt, err)
		}
		if requests := w.taken(); len(requests) != 1 || requests[0].proto != "HTTP/2.0" || requests[0].method != "POST" {
			t.Errorf("got %d requests: %+v", len(requests), requests)
		}
	})
}

func TestDocumentedErrors(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		if len(c.refusals) < 4 {
			t.Errorf("only %d errors", len(c.refusals))
		}
		for _, r := range c.refusals {
			w.answer(r.answer)
			_, err := p.Send(t.Context(), testMessage(c, w))
			t.Run(r.name, func(t *testing.T) {
				e := wantError(t, c, w, err, r.class)
				if e.Uncertain || !strings.HasPrefix(e.Code, fmt.Sprint(r.answer.status)) || r.code != "" && e.Code != fmt.Sprint(r.answer.status, " ", r.code) {
					t.Errorf("uncertain %v, code %q", e.Uncertain, e.Code)
				}
			})
		}
	})
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		unauthorized := c.unauthorized
		if unauthorized == "" {
			unauthorized = channel.Transient
		}
		for status, want := range map[int]channel.Class{
			301: channel.Transient, 400: channel.Permanent, 401: unauthorized, 403: unauthorized, 408: channel.Transient, 422: channel.Permanent,
			429: channel.Throttled, 500: channel.Transient, 502: channel.Transient, 503: channel.Transient, 504: channel.Transient,
		} {
			w.answer(answer{status: status, body: "<html>canary</html>"})
			_, err := p.Send(t.Context(), testMessage(c, w))
			e := wantError(t, c, w, err, want)
			// A server in between may fail after the provider has accepted the message.
			if uncertain := status == 500 || status == 502 || status == 504; e.Uncertain != uncertain {
				t.Errorf("%d: uncertain is %v", status, e.Uncertain)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		for _, status := range []int{429, 503} {
			for value, want := range map[string]time.Duration{
				"17": 17 * time.Second, time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat): 90 * time.Second,
				"9999999": 0, "-3": 0, "soon": 0,
			} {
				w.answer(answer{status: status, header: map[string]string{"Retry-After": value}})
				_, err := p.Send(t.Context(), testMessage(c, w))
				class := channel.Throttled
				if status == 503 && want == 0 && value != "9999999" {
					class = channel.Transient
				}
				e := wantError(t, c, w, err, class)
				if value == "9999999" {
					if e.RetryAfter > 31*24*time.Hour {
						t.Errorf("%d with %s: %s", status, value, e.RetryAfter)
					}
				} else if off := want - e.RetryAfter; off < 0 || off > 20*time.Second || want == 0 && off != 0 {
					t.Errorf("%d with %s: %s, want %s", status, value, e.RetryAfter, want)
				}
			}
		}
	})
}

// TestNoAnswer: what the network does, and whether the message may have been accepted.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		m := testMessage(c, w)
		for name, handle := range map[string]http.HandlerFunc{
			"cut before the header": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"cut after the header": func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Length", "1000")
				rw.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(rw).Flush()
				panic(http.ErrAbortHandler)
			},
			"huge": func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(http.StatusOK)
				for range 1024 {
					_, _ = io.WriteString(rw, strings.Repeat("x", 1024))
				}
			},
		} {
			w.respond(handle)
			_, err := p.Send(t.Context(), m)
			if e := wantError(t, c, w, err, channel.Transient); !e.Uncertain {
				t.Errorf("%s: it is not uncertain: %v", name, err)
			}
		}
		if !c.plainAnswer {
			for _, body := range []string{"", "{", `{"sid":7}`, "[]", "<html>", "null"} {
				w.answer(answer{status: 200, body: body})
				_, err := p.Send(t.Context(), m)
				if e := wantError(t, c, w, err, channel.Transient); !e.Uncertain {
					t.Errorf("an answer %q: it is not uncertain", body)
				}
			}
		}
		w.Close()
		w.client = newClient(t, nil) // without a connection
		_, err := c.open(t, w).Send(t.Context(), m)
		if e := wantError(t, c, w, err, channel.Transient); e.Uncertain {
			t.Errorf("refused: it is uncertain: %v", err)
		}
	})
}

// TestHanging: a provider that hangs ends with the context. Once it has the request, the message may be accepted.
func TestHanging(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		if _, err := p.Send(t.Context(), testMessage(c, w)); err != nil { // has a token and a connection
			t.Fatal(err)
		}
		got, ctx := make(chan struct{}), t.Context()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		w.respond(func(_ http.ResponseWriter, r *http.Request) {
			close(got)
			<-r.Context().Done()
		})
		go func() {
			<-got
			cancel()
		}()
		_, err := p.Send(ctx, testMessage(c, w))
		if e := wantError(t, c, w, err, channel.Transient); !e.Uncertain {
			t.Errorf("it is not uncertain: %v", err)
		}
		// An ended context sends nothing.
		w.taken()
		_, err = p.Send(ctx, testMessage(c, w))
		if !errors.Is(err, context.Canceled) || len(w.taken()) != 0 {
			t.Errorf("with an ended context: %v", err)
		}
		wantNoSecret(t, c, w, err)
	})
}

// TestSilentServer: a server that accepts connections and says nothing has no message.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, _ channel.Provider) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		w.Server = &httptest.Server{URL: "https://" + listener.Addr().String()}
		p := c.open(t, w)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err = p.Send(ctx, testMessage(c, w))
		if e := wantError(t, c, w, err, channel.Transient); e.Uncertain {
			t.Errorf("it is uncertain: %v", err)
		}
	})
}

// TestRedirect: a redirect is not followed.
func TestRedirect(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		var followed atomic.Int32
		other := newWire(t)
		other.respond(func(http.ResponseWriter, *http.Request) { followed.Add(1) })
		for _, status := range []int{301, 302, 303, 307, 308} {
			w.answer(answer{status: status, header: map[string]string{"Location": other.URL + "/canary"}})
			_, err := p.Send(t.Context(), testMessage(c, w))
			if e := wantError(t, c, w, err, channel.Transient); e.Uncertain {
				t.Errorf("%d: it is uncertain", status)
			}
		}
		if followed.Load() != 0 {
			t.Error("a redirect was followed")
		}
	})
}

// TestRepeatedMessage: each attempt for a message has the same key.
func TestRepeatedMessage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		if c.key == nil {
			return // the Router knows that it is not idempotent
		}
		m, other := testMessage(c, w), testMessage(c, w)
		other.ID, other.NotificationID = "2.push", "2"
		for _, m := range []channel.Message{m, m, other} {
			if _, err := p.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		requests := w.taken()
		first, again, different := c.key(t, requests[0]), c.key(t, requests[1]), c.key(t, requests[2])
		if first == "" || first != again || first == different {
			t.Errorf("the keys are %q, %q and %q", first, again, different)
		}
	})
}

// TestLargeMessages: a message of any size is sent, shortened where it must be.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c conformant, w *wire, p channel.Provider) {
		for _, text := range []string{strings.Repeat("x", 20000), strings.Repeat("\x01", 20000), strings.Repeat("ü", 10000), strings.Repeat("👋", 5000)} {
			m := testMessage(c, w)
			m.Text, m.Subject = text, text[:200]
			m.Data = map[string]json.RawMessage{"big": json.RawMessage(`"` + strings.Repeat("y", 60000) + `"`)}
			if _, err := p.Send(t.Context(), m); err != nil {
				t.Errorf("%.10q: %v", text, err)
			}
		}
		for _, r := range w.taken() {
			if len(r.body) < 1200 {
				t.Errorf("a request has only %d bytes", len(r.body))
			}
			if len(r.body) > 20000 || strings.Contains(c.name, "push") && len(r.body) > 4096 {
				t.Errorf("a request has %d bytes", len(r.body))
			}
		}
	})
}
