package egress_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// source returns a Source of text that counts how often it is opened. With an err it yields half of text, then err.
func source(text string, err error, opened *atomic.Int32) *egress.Source {
	return &egress.Source{Size: int64(len(text)), Open: func(context.Context) io.ReadCloser {
		opened.Add(1)
		if err != nil {
			return io.NopCloser(io.MultiReader(strings.NewReader(text[:len(text)/2]), errReader{err}))
		}
		return io.NopCloser(strings.NewReader(text))
	}}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// A source is opened again after a redirect, its size is sent as the length, and Started is called once the header is
// written.
func TestSourceIsOpenedForEachRequest(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 3_200_000)
	release := make(chan struct{})
	var got atomic.Int64
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			http.Redirect(w, r, "/second", http.StatusTemporaryRedirect)
			return
		}
		<-release // do not read before Started was called: 32 MB do not fit into socket buffers
		n, _ := io.Copy(io.Discard, r.Body)
		if r.ContentLength == int64(len(text)) {
			got.Store(n)
		}
	})
	var opened atomic.Int32
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := newClient(t, nil).Do(t.Context(), egress.Request{
			Method: "PUT", URL: server.URL + "/first", Source: source(text, nil, &opened), Started: func() { close(started) },
		})
		done <- err
	}()
	select {
	case <-started:
	case <-time.After(10 * time.Second):
		t.Error("Started was not called before the body was read")
	}
	close(release)
	if err := <-done; err != nil || got.Load() != int64(len(text)) || opened.Load() != 2 {
		t.Errorf("got %v; the server received %d bytes, the source was opened %d times", err, got.Load(), opened.Load())
	}
}

// A read error of the source is KindLocal and is not retried.
func TestSourceReadError(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	var opened atomic.Int32
	errRead := errors.New("read failed")
	_, err := newClient(t, nil).Do(t.Context(), egress.Request{
		Method: "PUT", URL: server.URL, Source: source(strings.Repeat("x", 100_000), errRead, &opened),
	})
	wantKind(t, err, egress.KindLocal, true)
	if !errors.Is(err, errRead) || opened.Load() != 1 {
		t.Errorf("got %v; the source was opened %d times", err, opened.Load())
	}
	if _, retry := (egress.Policy{}).Next(egress.Outcome{Safety: egress.Idempotent, Attempt: 1, Err: err}); retry {
		t.Error("the call would be retried")
	}
}

// A body that the sink does not take is read as usual, within the limit. An error of the sink is KindLocal.
func TestSink(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "not found")
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		default:
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}
	})
	client := newClient(t, func(o *egress.Options) { o.MaxBody = 100 })
	var taken []byte
	var errStore error
	sink := func(status int, _ http.Header, body io.Reader) (bool, error) {
		if status != http.StatusOK {
			return false, nil
		}
		data, err := io.ReadAll(body)
		taken = data
		return true, errors.Join(err, errStore)
	}
	response, err := client.Do(t.Context(), egress.Request{URL: server.URL + "/file", Sink: sink})
	if err != nil || len(taken) != 1000 || response.Body != nil {
		t.Errorf("a body that the sink takes: %v, %d bytes", err, len(taken))
	}
	response, err = client.Do(t.Context(), egress.Request{URL: server.URL + "/missing", Sink: sink})
	if err != nil || string(response.Body) != "not found" {
		t.Errorf("a body that the sink leaves: %v, %+v", err, response)
	}
	_, err = client.Do(t.Context(), egress.Request{URL: server.URL + "/broken", Sink: sink})
	wantKind(t, err, egress.KindTransport, true)
	errStore = errors.New("the disk is full")
	_, err = client.Do(t.Context(), egress.Request{URL: server.URL + "/file", Sink: sink})
	wantKind(t, err, egress.KindLocal, true)
	if !errors.Is(err, errStore) {
		t.Errorf("the cause is not in the chain of %v", err)
	}
}
