package egress

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Source is a request's body that is read while it is sent, and not held in memory.
type Source struct {
	// Size is exactly how many bytes Open yields.
	Size int64
	// Open begins at the first byte. It is closed once it is not read any more.
	Open func(ctx context.Context) io.ReadCloser
}

// Sink takes the body of an answer, if it wants it; else the body is read as usual. It bounds by itself how much it takes.
// Its error is KindLocal, unless it was body's.
type Sink func(status int, header http.Header, body io.Reader) (taken bool, err error)

// content is the body of the call's current request, and its length.
func (k *call) content(ctx context.Context) (body io.Reader, length int64) {
	switch {
	case k.source != nil && k.source.Size > 0:
		return &sourceReader{ReadCloser: k.source.Open(ctx), call: k}, k.source.Size
	case len(k.body) > 0:
		return bytes.NewReader(k.body), int64(len(k.body))
	}
	return nil, 0
}

// sourceReader remembers why a source could not be read: net/http tells of a broken connection.
type sourceReader struct {
	io.ReadCloser
	call *call
}

// Read implements io.Reader.
func (r *sourceReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		r.call.unread.Store(&err)
	}
	return n, err
}

// receive is the body of an answer, nil where the sink took it.
func (k *call) receive(answer *http.Response) ([]byte, error) {
	if k.sink == nil {
		return readCapped(answer, k.maxBody)
	}
	body := &answerReader{Reader: answer.Body}
	taken, err := k.sink(answer.StatusCode, answer.Header, body)
	switch {
	case err != nil && body.failed != nil:
		discard(answer)
		return nil, body.failed
	case err != nil:
		discard(answer)
		return nil, k.errorOf(KindLocal, err)
	case taken:
		discard(answer)
		return nil, nil
	}
	return readCapped(answer, k.maxBody)
}

// answerReader remembers why an answer could not be read.
type answerReader struct {
	io.Reader
	failed error
}

// Read implements io.Reader.
func (r *answerReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.failed = err
	}
	return n, err
}
