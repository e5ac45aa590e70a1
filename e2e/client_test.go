package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/itchyny/gojq"
)

// password is the password of every test account.
const password = "Test123!@#"

// answer is a response over HTTP or NATS.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// query returns the first value of a jq expression applied to the body.
func (a answer) query(expression string) (any, error) { return jq(expression, a.body) }

// text returns the value of a jq expression as text; "" for null and errors.
func (a answer) text(expression string) string {
	v, err := a.query(expression)
	if err != nil || v == nil {
		return ""
	}
	return asText(v)
}

// holds reports whether the value of a jq expression is neither false nor null.
func (a answer) holds(expression string) (bool, error) {
	v, err := a.query(expression)
	return err == nil && v != nil && v != false, err
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// jq returns the first value of an expression applied to JSON.
func jq(expression string, data []byte) (any, error) {
	query, err := gojq.Parse(expression)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", expression, err)
	}
	var input any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &input); err != nil {
			return nil, fmt.Errorf("decoding %.200q: %w", data, err)
		}
	}
	v, _ := query.Run(input).Next()
	if err, failed := v.(error); failed {
		return nil, fmt.Errorf("applying %s: %w", expression, err)
	}
	return v, nil
}

// asText returns a string as it is, and any other value as JSON.
func asText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// client makes HTTP requests to a running weft, with token if it is set.
type client struct {
	url   string
	token string
	http  *http.Client
}

func newClient(url string) *client {
	return &client{url: url, http: &http.Client{Timeout: waitTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
}

// do makes a request. Each header is "Name: value".
func (c *client) do(ctx context.Context, method, path string, body []byte, headers ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("making a request: %w", err)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	reply, err := c.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = reply.Body.Close() }()
	data, err := io.ReadAll(reply.Body)
	return answer{status: reply.StatusCode, header: reply.Header, body: data}, err
}

// must makes a request and fails the test unless the response has the status. A body that is not a string is encoded as JSON.
func (c *client) must(t testing.TB, status int, method, path string, body any, headers ...string) answer {
	t.Helper()
	var data []byte
	switch b := body.(type) {
	case nil:
	case string:
		data = []byte(b)
	default:
		var err error
		if data, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	a, err := c.do(t.Context(), method, path, data, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		t.Fatalf("%s %s: got %s, want %d", method, path, a, status)
	}
	return a
}

// signUp creates an account and signs in to it.
func signUp(t testing.TB, url string) (_ *client, userID string) {
	t.Helper()
	c := newClient(url)
	credentials := map[string]any{"email": uuid.NewString() + "@example.com", "password": password}
	c.must(t, 202, "POST", "/v1/auth/register", credentials)
	session := c.must(t, 200, "POST", "/v1/auth/login", credentials)
	c.token = session.text(".access_token")
	return c, session.text(".user.id")
}

// grant grants consents for scopes and returns the ID of the last one.
func (c *client) grant(t testing.TB, scopes ...string) (consentID string) {
	t.Helper()
	for _, scope := range scopes {
		consentID = c.must(t, 201, "POST", "/v1/consents", map[string]any{"scope": scope, "purpose": "a test"}).text(".id")
	}
	return consentID
}

// eventually polls until condition holds. After waitTimeout it returns an error with the last state.
func eventually(condition func() (holds bool, state string)) error {
	timeout := time.After(waitTimeout)
	for {
		holds, state := condition()
		if holds {
			return nil
		}
		select {
		case <-timeout:
			return fmt.Errorf("not within %s; last: %s", waitTimeout, state)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// sseEvent is a server-sent event.
type sseEvent struct {
	id, name string
	data     []byte
}

// eventStream is an open stream of server-sent events. close closes it.
type eventStream struct {
	events chan sseEvent
	close  context.CancelFunc
}

// follow opens a stream. Unless lastID is empty the stream resumes after that event.
func (c *client) follow(path, lastID string) (*eventStream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, http.NoBody)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	reply, err := (&http.Client{}).Do(request)
	if err != nil {
		cancel()
		return nil, err
	}
	if reply.StatusCode != http.StatusOK || !strings.HasPrefix(reply.Header.Get("Content-Type"), "text/event-stream") {
		cancel()
		return nil, errors.Join(fmt.Errorf("%s returned %s, %s", path, reply.Status, reply.Header.Get("Content-Type")), reply.Body.Close())
	}
	s := &eventStream{events: make(chan sseEvent, 64), close: cancel}
	go func() {
		defer close(s.events)
		defer func() { _ = reply.Body.Close() }()
		s.read(ctx, reply.Body)
	}()
	return s, nil
}

// read parses events until the body or ctx ends.
func (s *eventStream) read(ctx context.Context, body io.Reader) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	var e sseEvent
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "" && e.data != nil:
			select {
			case s.events <- e:
			case <-ctx.Done():
				return
			}
			e = sseEvent{}
		case field == "id":
			e.id = value
		case field == "event":
			e.name = value
		case field == "data":
			e.data = append(e.data, value...)
		}
	}
}

// await returns the next event with the name for which a jq expression holds, and skips others.
func (s *eventStream) await(name, expression string) (sseEvent, error) {
	seen := ""
	for timeout := time.After(waitTimeout); ; {
		select {
		case e, open := <-s.events:
			if !open {
				return sseEvent{}, fmt.Errorf("the stream ended; its events were%s", seen)
			}
			holds, err := answer{body: e.data}.holds(expression)
			if err != nil {
				return sseEvent{}, err
			}
			if e.name == name && holds {
				return e, nil
			}
			seen += fmt.Sprintf("\n%s %s", e.name, e.data)
		case <-timeout:
			return sseEvent{}, fmt.Errorf("no event %s with %s within %s; the events were%s", name, expression, waitTimeout, seen)
		}
	}
}
