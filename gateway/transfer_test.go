package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

const (
	objectID   = "01980000-0000-7000-8000-000000000000"
	partSize   = 256 << 10
	objectSize = 25 << 20
	// slack is what the sockets between a test and its gateway hold, and two parts.
	slack = 10 << 20
)

// shelf is an actor that keeps one object, and of its content the sum alone.
type shelf struct {
	mu      sync.Mutex
	created subjects.CreateObjectRequest
	sum     string
	size    int64
	hash    interface {
		io.Writer
		Sum([]byte) []byte
	}
	deleted int
	// part is called for each part that comes, content makes the answer's.
	part    func(r subjects.PartRequest) error
	content func(offset int64) []byte
}

func (s *shelf) object() subjects.Object {
	return subjects.Object{ID: objectID, State: "complete", Size: s.size, SHA256: s.sum, PartSize: partSize}
}

func (s *shelf) bindings() []actors.Binding {
	return []actors.Binding{
		actors.Bind(subjects.CreateObject, func(_ context.Context, r subjects.CreateObjectRequest) (subjects.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.created, s.hash, s.size = r, sha256.New(), 0
			return s.object(), nil
		}),
		actors.Bind(subjects.PutObjectPart, func(_ context.Context, r subjects.PartRequest) (subjects.PartReceipt, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if r.Offset != s.size || len(r.Content) == 0 || len(r.Content) > partSize {
				return subjects.PartReceipt{}, subjects.InvalidField("offset", "not the next part")
			}
			s.hash.Write(r.Content)
			s.size += int64(len(r.Content))
			if s.part != nil {
				return subjects.PartReceipt{}, s.part(r)
			}
			return subjects.PartReceipt{}, nil
		}),
		actors.Bind(subjects.CompleteObject, func(_ context.Context, r subjects.EndRequest) (subjects.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.sum = hex.EncodeToString(s.hash.Sum(nil)); s.sum != r.SHA256 || s.size != r.Size {
				return subjects.Object{}, subjects.InvalidField("sha256", "is another")
			}
			return s.object(), nil
		}),
		actors.Bind(subjects.DeleteObject, func(context.Context, subjects.ObjectRequest) (subjects.Empty, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.deleted++
			return subjects.Empty{}, nil
		}),
		actors.Bind(subjects.GetObjectContent, func(_ context.Context, r subjects.ContentRequest) (subjects.ContentPart, error) {
			return subjects.ContentPart{
				Name: "ship.bin", ContentType: "image/png", Size: s.size, SHA256: s.sum, Offset: r.Offset, Content: s.content(r.Offset),
			}, nil
		}),
	}
}

// counted is a reader that tells how much was read of it.
type counted struct {
	io.Reader
	read atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func noise(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), n) }

func sumOf(t testing.TB, r io.Reader) string {
	t.Helper()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// send makes a request and returns its answer, whose body the caller reads.
func (s *site) send(t testing.TB, method, path string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	if length := r.Header.Get("Content-Length"); length != "" {
		r.ContentLength, _ = strconv.ParseInt(length, 10, 64)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestAnUploadGoesOnInParts: a body of 25 MB reaches the actor in parts, and is read no faster than the actor takes them.
func TestAnUploadGoesOnInParts(t *testing.T) {
	t.Parallel()
	site := start(t, relaxed())
	body := &counted{Reader: noise(objectSize)}
	var ahead int64
	keeper := &shelf{part: func(r subjects.PartRequest) error {
		ahead = max(ahead, body.read.Load()-r.Offset)
		return nil
	}}
	site.actor(t, "integration", keeper.bindings()...)
	token := bearer(site.Token(t, actortest.User()))
	want := sumOf(t, noise(objectSize))
	for _, length := range []string{"", "Content-Length: " + strconv.Itoa(objectSize)} {
		header := []string{token, "Content-Type: image/png"}
		if length != "" {
			header = append(header, length)
		}
		body.Reader = noise(objectSize)
		body.read.Store(0)
		res := site.send(t, "POST", "/v1/objects?name=ship.bin&expires_in=600", body, header...)
		if res.StatusCode != 201 || res.Header.Get("Location") != "/v1/objects/"+objectID {
			text, _ := io.ReadAll(res.Body)
			t.Fatalf("status %d, %v: %s", res.StatusCode, res.Header, text)
		}
		keeper.mu.Lock()
		created := keeper.created
		if keeper.sum != want || keeper.size != objectSize || created.Name != "ship.bin" || created.ContentType != "image/png" || created.ExpiresIn != 600 {
			t.Errorf("the actor got %d bytes, %s of %+v", keeper.size, keeper.sum, created)
		}
		if known := created.Size != nil && *created.Size == objectSize; known != (length != "") {
			t.Errorf("the size that was announced: %v", created.Size)
		}
		if ahead > slack || keeper.deleted > 0 {
			t.Errorf("the gateway was %d bytes ahead of the actor, and deleted %d", ahead, keeper.deleted)
		}
		keeper.mu.Unlock()
	}
}

// TestAnUploadThatFailsIsTakenBack, unless its client may come back with the same key.
func TestAnUploadThatFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	site := start(t, relaxed())
	keeper := &shelf{part: func(r subjects.PartRequest) error {
		if r.Offset > 0 {
			return subjects.Errorf(subjects.CodeConflict, "it is full")
		}
		return nil
	}}
	site.actor(t, "integration", keeper.bindings()...)
	token := bearer(site.Token(t, actortest.User()))
	for key, deleted := range map[string]int{"": 1, "Idempotency-Key: a": 0} {
		keeper.mu.Lock()
		keeper.deleted = 0
		keeper.mu.Unlock()
		header := []string{token}
		if key != "" {
			header = append(header, key)
		}
		res := site.send(t, "POST", "/v1/objects", noise(2*partSize), header...)
		keeper.mu.Lock()
		if res.StatusCode != 409 || keeper.deleted != deleted {
			t.Errorf("with %q: status %d, deleted %d times", key, res.StatusCode, keeper.deleted)
		}
		keeper.mu.Unlock()
	}
	if res := site.send(t, "POST", "/v1/objects", noise(10)); res.StatusCode != 401 {
		t.Errorf("nobody's upload: %d", res.StatusCode)
	}
}

// TestADownloadComesInParts: a content of 25 MB is asked of the actor as fast as the client takes it.
func TestADownloadComesInParts(t *testing.T) {
	t.Parallel()
	site := start(t, relaxed())
	whole, err := io.ReadAll(noise(objectSize))
	if err != nil {
		t.Fatal(err)
	}
	var taken, ahead atomic.Int64
	keeper := &shelf{size: objectSize, sum: sumOf(t, noise(objectSize)), content: func(offset int64) []byte {
		ahead.Store(max(ahead.Load(), offset-taken.Load()))
		return whole[offset:min(offset/partSize*partSize+partSize, objectSize)]
	}}
	site.actor(t, "integration", keeper.bindings()...)
	token := bearer(site.Token(t, actortest.User()))
	path := "/v1/objects/" + objectID + "/content"
	res := site.send(t, "GET", path, nil, token)
	sum := sha256.New()
	for piece := make([]byte, 64<<10); ; {
		n, err := res.Body.Read(piece)
		sum.Write(piece[:n])
		taken.Add(int64(n))
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != keeper.sum || taken.Load() != objectSize || ahead.Load() > slack {
		t.Errorf("got %d bytes, %s; the gateway was %d ahead", taken.Load(), got, ahead.Load())
	}
	for name, want := range map[string]string{
		"Content-Length": strconv.Itoa(objectSize), "Content-Type": "image/png", "X-Content-Type-Options": "nosniff",
		"Content-Disposition": `attachment; filename=ship.bin`, "Etag": `"` + keeper.sum + `"`, "Accept-Ranges": "bytes",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	head := site.send(t, "HEAD", path, nil, token)
	if head.StatusCode != 200 || head.ContentLength != objectSize {
		t.Errorf("HEAD: %d, %d bytes", head.StatusCode, head.ContentLength)
	}
	if res := site.send(t, "GET", path, nil, token, `If-None-Match: "`+keeper.sum+`"`); res.StatusCode != 304 {
		t.Errorf("what the client has: %d", res.StatusCode)
	}
	for of, want := range map[string][2]int64{
		"bytes=0-0": {0, 1}, "bytes=300000-": {300000, objectSize}, "bytes=-7": {objectSize - 7, objectSize},
		"bytes=262143-262144": {262143, 262145}, "bytes=26214399-99999999": {objectSize - 1, objectSize},
	} {
		res := site.send(t, "GET", path, nil, token, "Range: "+of)
		got, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 206 || !bytes.Equal(got, whole[want[0]:want[1]]) {
			t.Errorf("%s: status %d, %d bytes, %v", of, res.StatusCode, len(got), err)
		}
	}
	for _, of := range []string{"bytes=99999999-", "bytes=5-1", "bytes=0-1,3-4", "lines=1-2"} {
		if res := site.send(t, "GET", path, nil, token, "Range: "+of); res.StatusCode != 200 || res.ContentLength != objectSize {
			t.Errorf("%s: status %d, %d bytes", of, res.StatusCode, res.ContentLength)
		}
	}
}
