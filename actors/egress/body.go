package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

// Source is a request body that is streamed instead of being held in memory.
type Source struct {
	// Size is the exact number of bytes that Open yields.
	Size int64
	// Open returns a reader positioned at the first byte. It is closed when it is no longer read.
	Open func(ctx context.Context) io.ReadCloser
}

// Sink may take a response body. If it returns taken false, the body is read into Response.Body as usual. A sink
// bounds by itself how much it reads. Its error is reported as KindLocal, unless it came from body.
type Sink func(status int, header http.Header, body io.Reader) (taken bool, err error)

// requestBody returns the body of the call's current request and its length.
func (k *call) requestBody(ctx context.Context) (body io.Reader, length int64) {
	switch {
	case k.source != nil && k.source.Size > 0:
		return &sourceReader{ReadCloser: k.source.Open(ctx), call: k}, k.source.Size
	case len(k.body) > 0:
		return bytes.NewReader(k.body), int64(len(k.body))
	}
	return nil, 0
}

// sourceReader records the source's read error, because net/http reports it as a broken connection.
type sourceReader struct {
	io.ReadCloser
	call *call
}

// Read implements io.Reader.
func (r *sourceReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		r.call.sourceErr.Store(&err)
	}
	return n, err
}

// receive returns the body of a response, or nil if the sink took it.
func (k *call) receive(response *http.Response) ([]byte, error) {
	if err := decodeContent(k.method, response); err != nil {
		discard(response)
		return nil, err
	}
	if k.sink == nil {
		return k.readBody(response, k.maxBody)
	}
	body := &responseReader{Reader: response.Body}
	taken, err := k.sink(response.StatusCode, response.Header, body)
	switch {
	case err != nil && body.err != nil:
		discard(response)
		return nil, body.err
	case err != nil:
		discard(response)
		return nil, k.errorOf(KindLocal, err)
	case taken:
		discard(response)
		return nil, nil
	}
	return k.readBody(response, k.maxBody)
}

// responseReader records the response's read error, to tell it from the sink's own.
type responseReader struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (r *responseReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

var errTooLarge = errors.New("the response is too large")

// unreservedBody is how much of a body is read without Options.Reserve, in bytes.
const unreservedBody = 64 << 10

// readBody reads and closes the body. It returns errTooLarge if the body has more than limit bytes.
func (k *call) readBody(response *http.Response, limit int64) ([]byte, error) {
	defer response.Body.Close()
	if response.ContentLength > limit {
		return nil, errTooLarge
	}
	var buffer bytes.Buffer
	reader := io.LimitReader(response.Body, limit+1)
	for next := int64(unreservedBody); ; next = max(response.ContentLength-int64(buffer.Len()), int64(buffer.Len())) {
		next = min(next, limit-int64(buffer.Len())) + 1
		if buffer.Len() > 0 && k.reserve != nil {
			if err := k.reserve(response.Request.Context(), k.caller, next); err != nil {
				// What was sent stays sent: the error's code is not the call's.
				return nil, k.errorOf(KindTransport, errors.New("reading the response: "+err.Error()))
			}
		}
		if response.ContentLength > 0 {
			buffer.Grow(int(min(next, response.ContentLength)) + bytes.MinRead)
		}
		n, err := buffer.ReadFrom(io.LimitReader(reader, next))
		if int64(buffer.Len()) > limit {
			return nil, errTooLarge
		}
		if err != nil {
			return nil, err
		}
		if n < next {
			return buffer.Bytes(), nil
		}
	}
}

// discard reads up to 4 KiB of an unused body, so that its connection can be reused, and closes it.
func discard(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
	_ = response.Body.Close()
}
