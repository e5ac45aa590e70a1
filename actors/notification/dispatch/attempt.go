package dispatch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors/egress"
)

// userAgent names the sender of attempts.
const userAgent = "weft-webhooks"

// target is an endpoint with its parsed secrets and its headers.
type target struct {
	Endpoint
	signers []signer
	header  http.Header
	// err says why nothing can be sent to it.
	err error
}

func newTarget(e Endpoint) *target {
	t := &target{Endpoint: e, header: make(http.Header, len(e.Headers)+5)}
	t.signers, t.err = parseSecrets(e.Secrets)
	for name, value := range e.Headers {
		if !ours(name) {
			t.header.Set(name, value)
		}
	}
	t.header.Set("Content-Type", "application/json")
	t.header.Set("User-Agent", userAgent)
	return t
}

// ours reports whether a header is set by this package and not by an endpoint.
func ours(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Content-Type", "User-Agent":
		return true
	}
	return strings.HasPrefix(strings.ToLower(name), "webhook-")
}

// reply is the result of one attempt.
type reply struct {
	Attempt
	retryAfter time.Duration
}

// Attempt makes one attempt to deliver an event now. It is not stored, and neither Enabled nor PerMinute is regarded.
func (d *Dispatcher) Attempt(ctx context.Context, e Endpoint, event Event) Attempt {
	if err := event.check(); err != nil {
		return Attempt{Number: 1, StartedAt: d.o.Now(), Error: err.Error()}
	}
	return d.post(ctx, newTarget(e), event.ID, event.Payload).Attempt
}

// post sends one signed request. It returns within Options.Timeout.
func (d *Dispatcher) post(ctx context.Context, t *target, eventID string, payload []byte) reply {
	r := reply{Attempt: Attempt{Number: 1, StartedAt: d.o.Now()}}
	if t.err != nil {
		r.Error = t.err.Error()
		return r
	}
	header := t.header.Clone()
	timestamp := strconv.FormatInt(r.StartedAt.Unix(), 10)
	header["Webhook-Id"], header["Webhook-Timestamp"] = []string{eventID}, []string{timestamp}
	header["Webhook-Signature"] = []string{sign(t.signers, eventID, timestamp, payload)}
	begin := time.Now()
	response, err := d.client.Do(ctx, egress.Request{
		Method: http.MethodPost, URL: t.URL, Header: header, Body: payload, NoRedirect: true,
		Sink: func(status int, header http.Header, body io.Reader) (bool, error) {
			r.Status, r.Answer = status, answerOf(body)
			r.retryAfter = egress.RetryAfter(header, d.o.Now())
			return true, nil // an answer whose body breaks is an answer
		},
	})
	r.Duration = time.Since(begin)
	var failed *egress.Error
	switch {
	case err == nil:
		r.Status = response.Status
	case errors.As(err, &failed) && failed.Status != 0:
		r.Status = failed.Status
	default:
		r.Error = err.Error()
		return r
	}
	if r.Status < 200 || r.Status > 299 {
		r.Error = "the endpoint answered " + strconv.Itoa(r.Status)
		if r.Status >= 300 && r.Status <= 399 {
			r.Error += "; redirects are not followed"
		}
	}
	return r
}

// answerOf reads the first bytes of an answer, as text: bytes that are not UTF-8, and NUL, which PostgreSQL does not store, are replaced.
func answerOf(body io.Reader) string {
	first := make([]byte, MaxAnswer)
	n, _ := io.ReadFull(body, first)
	text := strings.ReplaceAll(strings.ToValidUTF8(string(first[:n]), "\uFFFD"), "\x00", "\uFFFD")
	for len(text) > MaxAnswer {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
