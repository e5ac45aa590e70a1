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

// source is a body whose readings are counted; it yields only so much of what it promises, and then err.
func source(text string, err error, opened *atomic.Int32) *egress.Source {
	return &egress.Source{Size: int64(len(text)), Open: func(context.Context) io.ReadCloser {
		opened.Add(1)
		if err != nil {
			return io.NopCloser(io.MultiReader(strings.NewReader(text[:len(text)/2]), failing{err}))
		}
		return io.NopCloser(strings.NewReader(text))
	}}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestASourceIsReadForEachRequest, with its length, after a redirect too; it has started once its header is written.
func TestASourceIsReadForEachRequest(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 3_200_000)
	release := make(chan struct{})
	var got atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			http.Redirect(w, r, "/second", http.StatusTemporaryRedirect)
			return
		}
		<-release // the body is read once the call has started: 32 MB fit into no socket's buffers
		n, _ := io.Copy(io.Discard, r.Body)
		if r.ContentLength == int64(len(text)) {
			got.Store(n)
		}
	})
	var opened atomic.Int32
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := open(t, nil).Do(t.Context(), egress.Request{
			Method: "PUT", URL: server.URL + "/first", Source: source(text, nil, &opened), Started: func() { close(started) },
		})
		done <- err
	}()
	select {
	case <-started:
	case <-time.After(10 * time.Second):
		t.Error("it does not start before its body is read")
	}
	close(release)
	if err := <-done; err != nil || got.Load() != int64(len(text)) || opened.Load() != 2 {
		t.Errorf("%v; %d bytes came, of %d readings", err, got.Load(), opened.Load())
	}
}

// TestASourceThatCannotBeRead says nothing of the other side, and is not sent again.
func TestASourceThatCannotBeRead(t *testing.T) {
	t.Parallel()
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	var opened atomic.Int32
	errGone := errors.New("gone")
	_, err := open(t, nil).Do(t.Context(), egress.Request{
		Method: "PUT", URL: server.URL, Source: source(strings.Repeat("x", 100_000), errGone, &opened),
	})
	wantKind(t, err, egress.KindLocal, true)
	if !errors.Is(err, errGone) || opened.Load() != 1 {
		t.Errorf("got %v after %d readings", err, opened.Load())
	}
	if _, again := (egress.Policy{}).Next(egress.Outcome{Safety: egress.Idempotent, Attempt: 1, Err: err}); again {
		t.Error("it is sent again")
	}
}

// TestASinkTakesWhatItWants: another body is read as usual, and bounded; what cannot be kept is not the other side's fault.
func TestASinkTakesWhatItWants(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "there is none")
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		default:
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}
	})
	client := open(t, func(o *egress.Options) { o.MaxBody = 100 })
	var taken []byte
	var errKeep error
	sink := func(status int, _ http.Header, body io.Reader) (bool, error) {
		if status != http.StatusOK {
			return false, nil
		}
		data, err := io.ReadAll(body)
		taken = data
		return true, errors.Join(err, errKeep)
	}
	answer, err := client.Do(t.Context(), egress.Request{URL: server.URL + "/file", Sink: sink})
	if err != nil || len(taken) != 1000 || answer.Body != nil {
		t.Errorf("a file: %v, %d bytes", err, len(taken))
	}
	answer, err = client.Do(t.Context(), egress.Request{URL: server.URL + "/missing", Sink: sink})
	if err != nil || string(answer.Body) != "there is none" {
		t.Errorf("no file: %v, %+v", err, answer)
	}
	_, err = client.Do(t.Context(), egress.Request{URL: server.URL + "/broken", Sink: sink})
	wantKind(t, err, egress.KindTransport, true)
	errKeep = errors.New("the disk is full")
	_, err = client.Do(t.Context(), egress.Request{URL: server.URL + "/file", Sink: sink})
	wantKind(t, err, egress.KindLocal, true)
	if !errors.Is(err, errKeep) {
		t.Errorf("the cause is %v", err)
	}
}
