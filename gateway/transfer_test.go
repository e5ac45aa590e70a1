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
	// slack is an upper bound of what two parts and the socket buffers between test and gateway hold.
	slack = 10 << 20
)

// objectStore is an integration actor with one object. Of uploaded content it keeps size and hash.
type objectStore struct {
	mu      sync.Mutex
	created subjects.CreateObjectRequest
	sum     string
	size    int64
	hash    interface {
		io.Writer
		Sum([]byte) []byte
	}
	deleted int
	// part is called for each uploaded part; content returns the bytes of a downloaded part.
	part    func(r subjects.PartRequest) error
	content func(offset int64) []byte
}

func (s *objectStore) object() subjects.Object {
	return subjects.Object{ID: objectID, State: "complete", Size: s.size, SHA256: s.sum, PartSize: partSize}
}

func (s *objectStore) bindings() []actors.Binding {
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
				return subjects.Object{}, subjects.InvalidField("sha256", "does not match")
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

// countingReader counts the bytes read.
type countingReader struct {
	io.Reader
	read atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// noise yields n pseudo-random bytes, the same each time.
func noise(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), n) }

func sumOf(t testing.TB, r io.Reader) string {
	t.Helper()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// send sends a request and returns the response, whose body the caller reads.
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

// A body of 25 MB is forwarded in parts and read no faster than the actor accepts them.
func TestUpload(t *testing.T) {
	t.Parallel()
	site := start(t, relaxed())
	body := &countingReader{Reader: noise(objectSize)}
	var ahead int64
	store := &objectStore{part: func(r subjects.PartRequest) error {
		ahead = max(ahead, body.read.Load()-r.Offset)
		return nil
	}}
	site.actor(t, "integration", store.bindings()...)
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
		store.mu.Lock()
		created := store.created
		if store.sum != want || store.size != objectSize || created.Name != "ship.bin" || created.ContentType != "image/png" || created.ExpiresIn != 600 {
			t.Errorf("the actor received %d bytes, hash %s, of %+v", store.size, store.sum, created)
		}
		if announced := created.Size != nil && *created.Size == objectSize; announced != (length != "") {
			t.Errorf("the announced size: %v", created.Size)
		}
		if ahead > slack || store.deleted > 0 {
			t.Errorf("the gateway was %d bytes ahead of the actor; the object was deleted %d times", ahead, store.deleted)
		}
		store.mu.Unlock()
	}
}

// A failed upload is deleted, unless the client can resume it with its Idempotency-Key.
func TestFailedUpload(t *testing.T) {
	t.Parallel()
	site := start(t, relaxed())
	store := &objectStore{part: func(r subjects.PartRequest) error {
		if r.Offset > 0 {
			return subjects.Errorf(subjects.CodeConflict, "full")
		}
		return nil
	}}
	site.actor(t, "integration", store.bindings()...)
	token := bearer(site.Token(t, actortest.User()))
	for key, deleted := range map[string]int{"": 1, "Idempotency-Key: a": 0} {
		store.mu.Lock()
		store.deleted = 0
		store.mu.Unlock()
		header := []string{token}
		if key != "" {
			header = append(header, key)
		}
		res := site.send(t, "POST", "/v1/objects", noise(2*partSize), header...)
		store.mu.Lock()
		if res.StatusCode != 409 || store.deleted != deleted {
			t.Errorf("with %q: status %d, deleted %d times", key, res.StatusCode, store.deleted)
		}
		store.mu.Unlock()
	}
	if res := site.send(t, "POST", "/v1/objects", noise(10)); res.StatusCode != 401 {
		t.Errorf("an anonymous upload: %d", res.StatusCode)
	}
}

// A file of 25 MB is requested from the actor no faster than the client receives it.
func TestDownload(t *testing.T) {
	t.Parallel()
	site := start(t, relaxed())
	whole, err := io.ReadAll(noise(objectSize))
	if err != nil {
		t.Fatal(err)
	}
	var taken, ahead atomic.Int64
	store := &objectStore{size: objectSize, sum: sumOf(t, noise(objectSize)), content: func(offset int64) []byte {
		ahead.Store(max(ahead.Load(), offset-taken.Load()))
		return whole[offset:min(offset/partSize*partSize+partSize, objectSize)]
	}}
	site.actor(t, "integration", store.bindings()...)
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
	if got := hex.EncodeToString(sum.Sum(nil)); got != store.sum || taken.Load() != objectSize || ahead.Load() > slack {
		t.Errorf("got %d bytes, hash %s; the gateway was %d bytes ahead", taken.Load(), got, ahead.Load())
	}
	for name, want := range map[string]string{
		"Content-Length": strconv.Itoa(objectSize), "Content-Type": "image/png", "X-Content-Type-Options": "nosniff",
		"Content-Disposition": `attachment; filename=ship.bin`, "Etag": `"` + store.sum + `"`, "Accept-Ranges": "bytes",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	head := site.send(t, "HEAD", path, nil, token)
	if head.StatusCode != 200 || head.ContentLength != objectSize {
		t.Errorf("HEAD: %d, %d bytes", head.StatusCode, head.ContentLength)
	}
	if res := site.send(t, "GET", path, nil, token, `If-None-Match: "`+store.sum+`"`); res.StatusCode != 304 {
		t.Errorf("If-None-Match: %d", res.StatusCode)
	}
	for bytesRange, want := range map[string][2]int64{
		"bytes=0-0": {0, 1}, "bytes=300000-": {300000, objectSize}, "bytes=-7": {objectSize - 7, objectSize},
		"bytes=262143-262144": {262143, 262145}, "bytes=26214399-99999999": {objectSize - 1, objectSize},
	} {
		res := site.send(t, "GET", path, nil, token, "Range: "+bytesRange)
		got, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 206 || !bytes.Equal(got, whole[want[0]:want[1]]) {
			t.Errorf("%s: status %d, %d bytes, %v", bytesRange, res.StatusCode, len(got), err)
		}
	}
	for _, bytesRange := range []string{"bytes=99999999-", "bytes=5-1", "bytes=0-1,3-4", "lines=1-2"} {
		if res := site.send(t, "GET", path, nil, token, "Range: "+bytesRange); res.StatusCode != 200 || res.ContentLength != objectSize {
			t.Errorf("%s: status %d, %d bytes", bytesRange, res.StatusCode, res.ContentLength)
		}
	}
}
