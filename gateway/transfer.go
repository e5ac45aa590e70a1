package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// partTimeout bounds how long a client may take to send or to take one part.
	partTimeout = time.Minute
	// cancelTimeout bounds the tidying up after an upload that has failed.
	cancelTimeout = 10 * time.Second
)

// transfer counts an upload or a download among the open streams of who asks: each holds a part in memory.
func (x *exchange) transfer() (leave func(), err error) {
	whom := "user." + x.caller.user
	if x.caller.user == "" {
		whom = "ip." + x.caller.ip()
	}
	return x.g.streams.enter(whom)
}

// upload passes a body on in parts, as it comes: no more than one is in memory. begun is the reply to the request itself;
// what it returns is the reply to the end. An upload that fails leaves nothing behind, unless its client may come back with
// the same Idempotency-Key and go on.
func (rt *route) upload(x *exchange, header nats.Header, begun *nats.Msg) (*nats.Msg, error) {
	leave, err := x.transfer()
	if err != nil {
		return nil, err
	}
	defer leave()
	var o struct {
		ID       string `json:"id"`
		PartSize int64  `json:"part_size"`
	}
	if err := json.Unmarshal(begun.Data, &o); err != nil || o.PartSize < 1 {
		return nil, fmt.Errorf("reading what %s began: part size %d: %w", rt.d.Name(), o.PartSize, err)
	}
	resumable := len(header[mesh.HeaderIdempotencyKey]) > 0
	delete(header, mesh.HeaderIdempotencyKey)
	reply, err := rt.sendParts(x, header, o.ID, o.PartSize)
	if err != nil && !resumable {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), cancelTimeout)
		defer cancel()
		message, e := json.Marshal(subjects.ObjectRequest{ObjectID: o.ID})
		if e == nil {
			_, e = x.pass(ctx, rt.d.Body.Upload.Cancel, header, message)
		}
		err = errors.Join(err, e)
	}
	return reply, err
}

// sendParts reads the body to its end.
func (rt *route) sendParts(x *exchange, header nats.Header, id string, partSize int64) (*nats.Msg, error) {
	control := http.NewResponseController(x.w)
	var part bytes.Buffer
	part.Grow(int(partSize) + bytes.MinRead)
	sum, offset := sha256.New(), int64(0)
	for {
		// A recorder in a test has no deadlines to move.
		_ = control.SetReadDeadline(time.Now().Add(partTimeout))
		_ = control.SetWriteDeadline(time.Now().Add(partTimeout + rt.d.Body.Upload.End.Timeout + writeTimeout))
		part.Reset()
		n, err := io.CopyN(&part, x.r.Body, partSize)
		if err != nil && err != io.EOF { //nolint:errorlint // one that is wrapped is no end
			return nil, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body could not be read to its end", Cause: err}
		}
		if n > 0 {
			sum.Write(part.Bytes())
			message, e := json.Marshal(subjects.PartRequest{ObjectID: id, Offset: offset, Content: part.Bytes()})
			if e == nil {
				_, e = x.pass(x.ctx, rt.d.Body.Upload.Part, header, message)
			}
			if e != nil {
				return nil, e
			}
			offset += n
		}
		if err != nil {
			break
		}
	}
	end, err := json.Marshal(subjects.EndRequest{ObjectID: id, Size: offset, SHA256: hex.EncodeToString(sum.Sum(nil))})
	if err != nil {
		return nil, fmt.Errorf("encoding the end of an upload: %w", err)
	}
	return x.pass(x.ctx, rt.d.Body.Upload.End, header, end)
}

// pass calls an endpoint on the request's behalf, within the endpoint's own time.
func (x *exchange) pass(ctx context.Context, d *subjects.Descriptor, header nats.Header, message []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout+grace)
	defer cancel()
	return x.g.forward(ctx, x.g.byName[d.Name()], maps.Clone(header), message, false)
}

// download answers with a content that comes part by part. first is the reply to message, and has its beginning.
func (rt *route) download(x *exchange, header nats.Header, message []byte, first *nats.Msg) error {
	leave, err := x.transfer()
	if err != nil {
		return err
	}
	defer leave()
	part, err := readPart(rt.d, first)
	if err != nil {
		return err
	}
	from, to, partial := byteRange(x.r.Header, part)
	h := x.w.Header()
	h["Content-Type"] = []string{part.ContentType}
	h["Content-Disposition"] = []string{mime.FormatMediaType("attachment", map[string]string{"filename": part.Name})}
	h["Content-Security-Policy"] = []string{"default-src 'none'; sandbox"}
	h["Accept-Ranges"] = []string{"bytes"}
	h["Etag"] = []string{tagOf(part)}
	if x.r.Header.Get("If-None-Match") == tagOf(part) {
		x.status = http.StatusNotModified
		x.w.WriteHeader(x.status)
		return nil
	}
	h["Content-Length"] = []string{strconv.FormatInt(to-from, 10)}
	x.status = http.StatusOK
	if partial {
		h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", from, to-1, part.Size)}
		x.status = http.StatusPartialContent
	}
	x.w.WriteHeader(x.status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	return rt.sendContent(x, header, message, part, from, to)
}

// sendContent writes the bytes up to the one at to, beginning with the one at from; part is any part of the content. Where
// it fails the answer ends before its Content-Length, and so the client knows.
func (rt *route) sendContent(x *exchange, header nats.Header, message []byte, part subjects.ContentPart, from, to int64) error {
	control := http.NewResponseController(x.w)
	var ask subjects.ContentRequest
	if err := json.Unmarshal(message, &ask); err != nil {
		return fmt.Errorf("reading a request for %s: %w", rt.d.Name(), err)
	}
	for from < to {
		if from < part.Offset || from >= part.Offset+int64(len(part.Content)) {
			ask.Offset = from
			next, err := json.Marshal(ask)
			if err != nil {
				return fmt.Errorf("encoding a request for %s: %w", rt.d.Name(), err)
			}
			reply, err := x.pass(x.ctx, rt.d, header, next)
			if err != nil {
				return err
			}
			if part, err = readPart(rt.d, reply); err != nil {
				return err
			}
			if part.Offset != from || len(part.Content) == 0 {
				return fmt.Errorf("reading a part of %s: there is none at %d", rt.d.Name(), from)
			}
		}
		content := part.Content[from-part.Offset:]
		content = content[:min(int64(len(content)), to-from)]
		_ = control.SetWriteDeadline(time.Now().Add(partTimeout))
		if _, err := x.w.Write(content); err != nil {
			return clientGone(err)
		}
		from += int64(len(content))
	}
	return nil
}

func readPart(d *subjects.Descriptor, m *nats.Msg) (part subjects.ContentPart, err error) {
	if err := json.Unmarshal(m.Data, &part); err != nil {
		return part, fmt.Errorf("reading a part of %s: %w", d.Name(), err)
	}
	return part, nil
}

// tagOf is a content's ETag.
func tagOf(part subjects.ContentPart) string { return `"` + part.SHA256 + `"` }

// byteRange is the piece of a content that a client asks for (RFC 9110 §14.2). What is not one range within the content
// asks for all of it, and so does a range of another content (If-Range).
func byteRange(h http.Header, part subjects.ContentPart) (from, to int64, partial bool) {
	text, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	if of := h.Get("If-Range"); !ok || of != "" && of != tagOf(part) {
		return 0, part.Size, false
	}
	first, last, _ := strings.Cut(strings.TrimSpace(text), "-")
	from, errFrom := strconv.ParseInt(first, 10, 64)
	to, errTo := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && errTo == nil && to > 0:
		from, to = max(0, part.Size-to), part.Size
	case errFrom == nil && last == "":
		to = part.Size
	case errFrom == nil && errTo == nil && to >= from:
		to = min(to+1, part.Size)
	default:
		return 0, part.Size, false
	}
	if from < 0 || from >= part.Size {
		return 0, part.Size, false
	}
	return from, to, true
}
