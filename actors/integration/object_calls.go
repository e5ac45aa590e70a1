package integration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// fileFor finds the caller's object that an action's input names, as a body is made of it.
func (a *Actor) fileFor(ctx context.Context) func(id string) (*manifest.Object, error) {
	return func(id string) (*manifest.Object, error) {
		if !isID(id) {
			return nil, subjects.InvalidField("input.object", "must be an object's id")
		}
		o, err := a.completed(ctx, id)
		switch subjects.CodeOf(err) {
		case "":
		case subjects.CodeNotFound, subjects.CodeConflict:
			return nil, subjects.InvalidField("input.object", "there is no such object, or it is still being uploaded")
		default:
			return nil, asError(err)
		}
		return &manifest.Object{
			Name: o.Name, ContentType: o.ContentType, Size: o.Size, SHA256: o.SHA256,
			Open: func(ctx context.Context) io.ReadCloser { return a.objects.reader(ctx, o, o.Size) },
		}, nil
	}
}

// sinkFor keeps a good answer as an object of the caller's. kept is called with it.
func (a *Actor) sinkFor(ctx context.Context, out outgoing, address string, kept func(objectRow)) egress.Sink {
	return func(status int, header http.Header, body io.Reader) (bool, error) {
		if !out.action.Delivers(out.link, out.input, manifest.Answer{Status: status, Header: header, At: a.Now()}) {
			return false, nil
		}
		ctx, end := apart(ctx)
		defer end()
		o, err := a.objects.keep(ctx, actors.CallerFrom(ctx).UserID, fileOf(header, address), body)
		if err == nil {
			kept(o)
		}
		return true, err
	}
}

// referenceTo is an object as an action's output has it.
func referenceTo(o objectRow) map[string]any {
	return map[string]any{"id": o.ID, "name": o.Name, "content_type": o.ContentType, "size": float64(o.Size), "sha256": o.SHA256}
}

// apart is a context that ends with ctx, and is of the same caller, outside the transaction of a call under an idempotency
// key: what is kept while a provider is answering is kept at once.
func apart(ctx context.Context) (context.Context, context.CancelFunc) {
	own := actors.WithCaller(trace.ContextWithSpan(context.Background(), trace.SpanFromContext(ctx)), actors.CallerFrom(ctx))
	own, cancel := context.WithCancelCause(own)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return own, func() { stop(); cancel(nil) }
}

// keep stores all that r yields as an object of a user's. An error of r's comes back as it is; what was stored until then
// is taken away.
func (s *objects) keep(ctx context.Context, userID string, of announced, r io.Reader) (objectRow, error) {
	o, err := s.begin(ctx, userID, of)
	if err != nil {
		return objectRow{}, err
	}
	w := &objectWriter{objects: s, object: o, part: make([]byte, o.PartSize), sum: sha256.New()}
	done, err := w.copyFrom(ctx, r)
	if err != nil {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), endObjectWithin)
		defer cancel()
		if e := s.end(tidy, userID, o.ID); e != nil {
			s.Log.Warn("taking back a part of an answer", zap.String("object_id", o.ID), zap.Error(e))
		}
	}
	return done, err
}

// objectWriter stores a content whose end nobody knows before.
type objectWriter struct {
	objects *objects
	object  openObject
	part    []byte
	offset  int64
	sum     hash.Hash
}

// copyFrom stores all that r yields. An error of r's comes back as it is.
func (w *objectWriter) copyFrom(ctx context.Context, r io.Reader) (objectRow, error) {
	for {
		n, err := fill(r, w.part)
		if n > 0 {
			if err := w.objects.put(ctx, w.object, w.offset, w.part[:n]); err != nil {
				return objectRow{}, err
			}
			w.sum.Write(w.part[:n])
			w.offset += int64(n)
		}
		if err == io.EOF { //nolint:errorlint // one that is wrapped is no end
			return w.objects.complete(ctx, w.object, w.offset, hex.EncodeToString(w.sum.Sum(nil)))
		}
		if err != nil {
			return objectRow{}, err
		}
	}
}

// fill reads until p is full or r says why not. io.ReadFull does not tell an end from a content that broke off.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}
