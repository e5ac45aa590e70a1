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
	// partTimeout bounds how long a client may take to send or to receive one part.
	partTimeout = time.Minute
	// cancelTimeout bounds the removal of a failed upload.
	cancelTimeout = 10 * time.Second
)

// upload forwards the body in parts while it is received, holding at most one in memory. created is the reply to the request
// that created the object; the result is the reply to the End request. A failed upload is cancelled, unless the request had
// an Idempotency-Key: the client may then resume it with the same key. It counts as an open stream of the caller.
func (rt *route) upload(rc *requestContext, header nats.Header, created *nats.Msg) (*nats.Msg, error) {
	release, err := rc.g.streams.acquire(rc.caller.limitKey())
	if err != nil {
		return nil, err
	}
	defer release()
	var object struct {
		ID       string `json:"id"`
		PartSize int64  `json:"part_size"`
	}
	if err := json.Unmarshal(created.Data, &object); err != nil || object.PartSize < 1 {
		return nil, fmt.Errorf("decoding the object that %s created: part size %d: %w", rt.d.Name(), object.PartSize, err)
	}
	resumable := len(header[mesh.HeaderIdempotencyKey]) > 0
	delete(header, mesh.HeaderIdempotencyKey)
	reply, err := rt.sendParts(rc, header, object.ID, object.PartSize)
	if err != nil && !resumable {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(rc.ctx), cancelTimeout)
		defer cancel()
		message, e := subjects.Encode(subjects.ObjectRequest{ObjectID: object.ID})
		if e == nil {
			_, e = rc.forward(ctx, rt.d.Body.Upload.Cancel, header, message)
		}
		err = errors.Join(err, e)
	}
	return reply, err
}

// sendParts forwards the body part by part and then sends the End request.
func (rt *route) sendParts(rc *requestContext, header nats.Header, id string, partSize int64) (*nats.Msg, error) {
	release, err := rc.holdPart(partSize)
	if err != nil {
		return nil, err
	}
	defer release()
	control := http.NewResponseController(rc.w)
	var part bytes.Buffer
	part.Grow(int(partSize) + bytes.MinRead)
	sum, offset := sha256.New(), int64(0)
	for {
		// Errors are ignored: a ResponseRecorder has no deadlines.
		_ = control.SetReadDeadline(time.Now().Add(partTimeout))
		_ = control.SetWriteDeadline(time.Now().Add(partTimeout + rt.d.Body.Upload.End.Timeout + writeTimeout))
		part.Reset()
		n, err := io.CopyN(&part, rc.r.Body, partSize)
		if err != nil && err != io.EOF { //nolint:errorlint // a wrapped io.EOF is an error
			return nil, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body could not be read completely", Cause: err}
		}
		if n > 0 {
			sum.Write(part.Bytes())
			message, e := subjects.Encode(subjects.PartRequest{ObjectID: id, Offset: offset, Content: part.Bytes()})
			if e == nil {
				_, e = rc.forward(rc.ctx, rt.d.Body.Upload.Part, header, message)
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
	end, err := subjects.Encode(subjects.EndRequest{ObjectID: id, Size: offset, SHA256: hex.EncodeToString(sum.Sum(nil))})
	if err != nil {
		return nil, fmt.Errorf("encoding the end of an upload: %w", err)
	}
	return rc.forward(rc.ctx, rt.d.Body.Upload.End, header, end)
}

// forward calls an endpoint with the request's header, within the endpoint's own timeout.
func (rc *requestContext) forward(ctx context.Context, d *subjects.Descriptor, header nats.Header, message []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout+replyMargin)
	defer cancel()
	return rc.g.forward(ctx, d, maps.Clone(header), message, false)
}

// download writes a file whose parts it requests one after the other. first is the reply to message and holds the first part.
// It counts as an open stream of the caller.
func (rt *route) download(rc *requestContext, header nats.Header, message []byte, first *nats.Msg) error {
	release, err := rc.g.streams.acquire(rc.caller.limitKey())
	if err != nil {
		return err
	}
	defer release()
	giveBack, err := rc.holdPart(int64(len(first.Data)))
	if err != nil {
		return err
	}
	defer giveBack()
	part, err := decodePart(rt.d, first)
	if err != nil {
		return err
	}
	from, to, partial := byteRange(rc.r.Header, part)
	h := rc.w.Header()
	h["Content-Type"] = []string{part.ContentType}
	h["Content-Disposition"] = []string{mime.FormatMediaType("attachment", map[string]string{"filename": part.Name})}
	h["Content-Security-Policy"] = []string{"default-src 'none'; sandbox"}
	h["Accept-Ranges"] = []string{"bytes"}
	h["Etag"] = []string{etag(part)}
	if matchesETag(rc.r.Header, etag(part)) {
		rc.notModified()
		return nil
	}
	h["Content-Length"] = []string{strconv.FormatInt(to-from, 10)}
	rc.status = http.StatusOK
	if partial {
		h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", from, to-1, part.Size)}
		rc.status = http.StatusPartialContent
	}
	rc.w.WriteHeader(rc.status)
	if rc.r.Method == http.MethodHead {
		return nil
	}
	return rt.sendContent(rc, header, message, part, from, to)
}

// sendContent writes the bytes in [from, to). part is any part that has been received. On an error the response ends before
// its Content-Length, by which the client detects it.
func (rt *route) sendContent(rc *requestContext, header nats.Header, message []byte, part subjects.ContentPart, from, to int64) error {
	control := http.NewResponseController(rc.w)
	var request subjects.ContentRequest
	if err := json.Unmarshal(message, &request); err != nil {
		return fmt.Errorf("decoding a request for %s: %w", rt.d.Name(), err)
	}
	for from < to {
		if from < part.Offset || from >= part.Offset+int64(len(part.Content)) {
			request.Offset = from
			next, err := subjects.Encode(request)
			if err != nil {
				return fmt.Errorf("encoding a request for %s: %w", rt.d.Name(), err)
			}
			reply, err := rc.forward(rc.ctx, rt.d, header, next)
			if err != nil {
				return err
			}
			if part, err = decodePart(rt.d, reply); err != nil {
				return err
			}
			if part.Offset != from || len(part.Content) == 0 {
				return fmt.Errorf("no part of %s at offset %d", rt.d.Name(), from)
			}
		}
		content := part.Content[from-part.Offset:]
		content = content[:min(int64(len(content)), to-from)]
		_ = control.SetWriteDeadline(time.Now().Add(partTimeout))
		if _, err := rc.w.Write(content); err != nil {
			return clientGone(err)
		}
		from += int64(len(content))
	}
	return nil
}

func decodePart(d *subjects.Descriptor, m *nats.Msg) (part subjects.ContentPart, err error) {
	if err := json.Unmarshal(m.Data, &part); err != nil {
		return part, fmt.Errorf("decoding a part of %s: %w", d.Name(), err)
	}
	return part, nil
}

// etag returns a file's ETag (RFC 9110 §8.8.3).
func etag(part subjects.ContentPart) string { return `"` + part.SHA256 + `"` }

// matchesETag reports whether If-None-Match names tag, by weak comparison (RFC 9110 §13.1.2).
func matchesETag(h http.Header, tag string) bool {
	values := h["If-None-Match"]
	return len(values) > 0 && subjects.MatchesTag(strings.Join(values, ","), tag)
}

// byteRange returns the range of bytes that the client requests (RFC 9110 §14.2). It returns the whole file if Range is not a
// single range within the file, or if If-Range names another version.
func byteRange(h http.Header, part subjects.ContentPart) (from, to int64, partial bool) {
	text, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	if version := h.Get("If-Range"); !ok || version != "" && version != etag(part) {
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
