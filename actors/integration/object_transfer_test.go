package integration_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// receivedUpload is a received PUT request.
type receivedUpload struct {
	size   int64
	length int64
	sum    string
	header http.Header
}

// fakeS3 is a server that records uploads and serves one file.
type fakeS3 struct {
	*httptest.Server
	mu sync.Mutex
	// statuses are the statuses of the next PUT requests; then 200.
	statuses []int
	uploads  []receivedUpload
	// file is the response to GET requests; broken is how many of the next ones are cut in the middle.
	file   []byte
	broken int
	// chunked omits Content-Length.
	chunked bool
	// halfway is called when half of the file has been sent.
	halfway func()
}

func newFakeS3(t testing.TB, file []byte, statuses ...int) *fakeS3 {
	t.Helper()
	s := &fakeS3{file: file, statuses: statuses}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/" || r.URL.Path == "/health":
			_, _ = io.WriteString(w, `<ListAllMyBucketsResult><Owner><ID>1</ID></Owner></ListAllMyBucketsResult>`)
		case r.Method == http.MethodGet:
			s.handleGet(w)
		default:
			s.handlePut(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *fakeS3) handleGet(w http.ResponseWriter) {
	s.mu.Lock()
	file, broken := s.file, s.broken > 0
	s.broken--
	s.mu.Unlock()
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Content-Disposition", `attachment; filename="../her ship.png"`)
	if !s.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(file)))
	}
	_, _ = w.Write(file[:len(file)/2])
	if broken {
		return
	}
	if s.halfway != nil {
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		s.halfway()
	}
	_, _ = w.Write(file[len(file)/2:])
}

func (s *fakeS3) handlePut(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads = append(s.uploads, receivedUpload{n, r.ContentLength, hex.EncodeToString(sum.Sum(nil)), r.Header.Clone()})
	status := 200
	if len(s.statuses) > 0 {
		status, s.statuses = s.statuses[0], s.statuses[1:]
	}
	w.Header().Set("ETag", `"1"`)
	w.WriteHeader(status)
}

func (s *fakeS3) received() []receivedUpload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]receivedUpload(nil), s.uploads...)
}

// withS3 replaces S3 by a fake.
func withS3(s *fakeS3) option {
	return withConfig(func(c *integration.Config) {
		c.Providers["aws_s3"] = integration.ProviderConfig{BaseURL: s.URL, Backoff: time.Millisecond}
	})
}

func (b *fixture) connectS3(t testing.TB, as mesh.As) subjects.Connection {
	t.Helper()
	return call(t, b, subjects.ConnectIntegration, as, subjects.ConnectIntegrationRequest{
		Provider: "aws_s3", Settings: map[string]any{"region": "eu-central-1"},
		Credentials: subjects.SecretMap{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
	})
}

// object is the object reference in an action's output.
func object(t testing.TB, r subjects.ActionResult) subjects.Object {
	t.Helper()
	var output struct {
		Object subjects.Object `json:"object"`
	}
	if err := json.Unmarshal(r.Output, &output); err != nil || output.Object.ID == "" {
		t.Fatalf("output %s: %v", r.Output, err)
	}
	return output.Object
}

// TestObjectAsInput tests that an object's content is sent as the body, with its length and signed, and again in a retry.
func TestObjectAsInput(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		s := newFakeS3(t, nil, 503, 500)
		b := setup(t, database, withS3(s))
		_, ada := b.user(t)
		_, eve := b.user(t)
		data := content(5<<20 + 3)
		o := b.upload(t, ada, data, subjects.CreateObjectRequest{Name: "ship.png", ContentType: "image/png"})
		c, hers := b.connectS3(t, ada), b.connectS3(t, eve)
		put := `{"bucket":"ships","key":"a.png","object":"` + o.ID + `"}`
		result := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "put_object", put))
		got := s.received()
		if result.Attempts != 3 || len(got) != 3 {
			t.Fatalf("%d attempts, %d requests", result.Attempts, len(got))
		}
		for i, r := range got {
			if r.size != int64(len(data)) || r.length != r.size || r.sum != o.SHA256 || r.header.Get("X-Amz-Content-Sha256") != o.SHA256 ||
				r.header.Get("Content-Type") != "image/png" || !strings.HasPrefix(r.header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
				t.Errorf("attempt %d: %d of %d bytes, %s, %v", i, r.size, r.length, r.sum, r.header)
			}
		}
		unfinished := call(t, b, subjects.CreateObject, ada, subjects.CreateObjectRequest{})
		for _, refused := range []struct {
			as         mesh.As
			id, object string
		}{{eve, hers.ID, o.ID}, {ada, c.ID, unfinished.ID}, {ada, c.ID, "01980000-0000-7000-8000-000000000000"}, {ada, c.ID, "a.png"}} {
			e := wantCode(t, b, subjects.CodeInvalid, subjects.ExecuteAction, refused.as,
				action(refused.id, "put_object", strings.Replace(put, o.ID, refused.object, 1)))
			if len(e.Fields) == 0 || e.Fields[0].Field != "input.object" {
				t.Errorf("%s: %+v", refused.object, e)
			}
		}
		if got := s.received(); len(got) != 3 {
			t.Errorf("a refused call was sent: %d requests", len(got))
		}
	})
}

// TestObjectAsOutput tests that a response is stored as an object, after a retry of an interrupted one, and can be the input
// of another action.
func TestObjectAsOutput(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		data := content(25 << 20)
		s := newFakeS3(t, data)
		b := setup(t, database, withS3(s))
		_, ada := b.user(t)
		c := b.connectS3(t, ada)
		s.mu.Lock()
		s.broken = 1
		s.mu.Unlock()
		get := action(c.ID, "get_object", `{"bucket":"ships","key":"a.png","to_object":true}`)
		result := call(t, b, subjects.ExecuteAction, ada, get)
		o := object(t, result)
		if result.Attempts != 2 || o.Size != int64(len(data)) || o.SHA256 != sumOf(data) || o.Name != "her ship.png" || o.ContentType != "image/png" {
			t.Errorf("after %d attempts: %+v", result.Attempts, o)
		}
		if got, _ := b.download(t, ada, o.ID); !bytes.Equal(got, data) {
			t.Error("the object has other content")
		}
		if list := call(t, b, subjects.ListObjects, ada, subjects.ListObjectsRequest{}); len(list.Items) != 1 {
			t.Errorf("an interrupted download was kept: %+v", list.Items)
		}
		call(t, b, subjects.ExecuteAction, ada, action(c.ID, "put_object", `{"bucket":"ships","key":"b.png","object":"`+o.ID+`"}`))
		if got := s.received(); len(got) != 1 || got[0].sum != o.SHA256 {
			t.Errorf("the second action sent %+v", got)
		}
		s.mu.Lock()
		s.file = []byte("small")
		s.mu.Unlock()
		var plain struct {
			Content string  `json:"content"`
			Base64  bool    `json:"base64"`
			Object  *string `json:"object"`
		}
		small := call(t, b, subjects.ExecuteAction, ada, action(c.ID, "get_object", `{"bucket":"ships","key":"a.png"}`))
		if err := json.Unmarshal(small.Output, &plain); err != nil || plain.Content != "c21hbGw=" || !plain.Base64 || plain.Object != nil {
			t.Errorf("without to_object: %s", small.Output)
		}
	})
}

// TestObjectWithIdempotencyKey tests that a file is stored once for an idempotency key, and that its download blocks no other
// request.
func TestObjectWithIdempotencyKey(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		s := newFakeS3(t, content(30<<10))
		b := setup(t, database, smallParts, withS3(s))
		_, ada := b.user(t)
		_, eve := b.user(t)
		c := b.connectS3(t, ada)
		s.halfway = func() {
			actortest.Eventually(t, "a stored part", func() bool { return b.storedParts(t) > 0 })
			if _, err := mesh.Call(t.Context(), b.caller, subjects.CreateObject, subjects.CreateObjectRequest{}, eve); err != nil {
				t.Errorf("another user's request during the download: %v", err)
			}
		}
		message, err := json.Marshal(action(c.ID, "get_object", `{"bucket":"ships","key":"a.png","to_object":true}`))
		if err != nil {
			t.Fatal(err)
		}
		var replies [2]string
		for i := range replies {
			reply, err := b.caller.Forward(t.Context(), subjects.ExecuteAction.Subject, nats.Header{
				mesh.HeaderAuthorization: {"Bearer " + ada.Token}, mesh.HeaderIdempotencyKey: {"k"},
			}, message)
			if err != nil {
				t.Fatal(err)
			}
			replies[i] = string(reply.Data)
		}
		if list := call(t, b, subjects.ListObjects, ada, subjects.ListObjectsRequest{}); replies[0] != replies[1] || len(list.Items) != 1 {
			t.Errorf("%d objects; the replies are %s and %s", len(list.Items), replies[0], replies[1])
		}
	})
}

func TestObjectsInProxyCalls(t *testing.T) {
	t.Parallel()
	data := content(30 << 10)
	s := newFakeS3(t, data)
	b := setup(t, actortest.Databases(t)[0], smallParts, withS3(s))
	_, ada := b.user(t)
	c := b.connectS3(t, ada)
	got := call(t, b, subjects.ProxyCall, ada, subjects.ProxyRequest{IntegrationID: c.ID, Method: "GET", Path: "/ships/a.png", ToObject: true})
	if got.Status != 200 || got.Object == nil || got.Object.SHA256 != sumOf(data) || got.Object.Size != int64(len(data)) || string(got.Body) != "null" && len(got.Body) > 0 {
		t.Fatalf("got %+v, %s", got, got.Body)
	}
	call(t, b, subjects.ProxyCall, ada, subjects.ProxyRequest{IntegrationID: c.ID, Method: "PUT", Path: "/ships/b.png", Object: got.Object.ID})
	if sent := s.received(); len(sent) != 1 || sent[0].sum != sumOf(data) || sent[0].header.Get("Content-Type") != "image/png" {
		t.Errorf("sent %+v", sent)
	}
	e := wantCode(t, b, subjects.CodeInvalid, subjects.ProxyCall, ada, subjects.ProxyRequest{
		IntegrationID: c.ID, Method: "PUT", Path: "/ships/b.png", Object: got.Object.ID, Body: json.RawMessage(`1`),
	})
	if e.Fields[0].Field != "object" {
		t.Errorf("object and body: %+v", e)
	}
}

// TestTooLargeResponse tests that a response that is too large is refused, does not count as a failure for the breaker, and
// leaves no parts.
func TestTooLargeResponse(t *testing.T) {
	t.Parallel()
	s := newFakeS3(t, content(100<<10+1))
	b := setup(t, actortest.Databases(t)[0], smallParts, withS3(s))
	_, ada := b.user(t)
	c := b.connectS3(t, ada)
	get := action(c.ID, "get_object", `{"bucket":"ships","key":"a.png","to_object":true}`)
	for range 8 {
		if e := wantCode(t, b, subjects.CodeTooLarge, subjects.ExecuteAction, ada, get); e.Fields[0].Field != "size" {
			t.Errorf("too large: %+v", e)
		}
	}
	if n := b.storedParts(t); n != 0 {
		t.Errorf("%d messages remain", n)
	}
	s.mu.Lock()
	s.file = []byte("small")
	s.mu.Unlock()
	if o := object(t, call(t, b, subjects.ExecuteAction, ada, get)); o.Size != 5 {
		t.Errorf("stored %+v", o)
	}
}
