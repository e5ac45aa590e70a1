package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// objectSource finds the caller's object that an action's input names, to be sent as a request's body.
func (e *callExecutor) objectSource(ctx context.Context) func(id string) (*manifest.Object, error) {
	return func(id string) (*manifest.Object, error) {
		if !isID(id) {
			return nil, subjects.InvalidField("input.object", "must be an object's id")
		}
		o, err := e.objects.getComplete(ctx, actors.CallerFrom(ctx).UserID, id)
		switch subjects.CodeOf(err) {
		case "":
		case subjects.CodeNotFound, subjects.CodeConflict:
			return nil, subjects.InvalidField("input.object", "there is no such object, or it is still being uploaded")
		default:
			return nil, asError(err)
		}
		return &manifest.Object{
			Name: o.Name, ContentType: o.ContentType, Size: o.Size, SHA256: o.SHA256,
			Open: func(ctx context.Context) io.ReadCloser { return e.objects.reader(ctx, o, o.Size) },
		}, nil
	}
}

// objectSink stores a successful response as an object of the caller's, and calls stored with it.
func (e *callExecutor) objectSink(ctx context.Context, spec callSpec, address string, stored func(objectRow)) egress.Sink {
	return func(status int, header http.Header, body io.Reader) (bool, error) {
		if !spec.action.Delivers(spec.connection, spec.input, manifest.Answer{Status: status, Header: header, At: e.Now()}) {
			return false, nil
		}
		ctx := e.DB.Detached(ctx) // a transaction of the caller's is not held open during the download
		o, err := e.objects.storeAll(ctx, actors.CallerFrom(ctx).UserID, responseFile(header, address), body)
		if err == nil {
			stored(o)
		}
		return true, err
	}
}

// objectReference is an object in an action's output.
func objectReference(o objectRow) map[string]any {
	return map[string]any{"id": o.ID, "name": o.Name, "content_type": o.ContentType, "size": float64(o.Size), "sha256": o.SHA256}
}

// storeAll stores everything that r yields as an object of a user's. If it fails it deletes what it has stored. An error of
// r's is returned as it is.
func (s *objects) storeAll(ctx context.Context, userID string, spec uploadSpec, r io.Reader) (objectRow, error) {
	o, err := s.create(ctx, userID, spec)
	if err != nil {
		return objectRow{}, err
	}
	done, err := s.storeContent(ctx, o, r)
	if err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteObjectWithin)
		defer cancel()
		if e := s.delete(cleanup, userID, o.ID); e != nil {
			s.Log.Warn("deleting an incomplete object", zap.String("object_id", o.ID), zap.Error(e))
		}
	}
	return done, err
}

// storeContent stores everything that r yields as an object's content. An error of r's is returned as it is.
func (s *objects) storeContent(ctx context.Context, o openObject, r io.Reader) (objectRow, error) {
	var part bytes.Buffer
	part.Grow(int(o.PartSize) + bytes.MinRead)
	sum, offset := sha256.New(), int64(0)
	for {
		part.Reset()
		n, err := io.CopyN(&part, r, o.PartSize)
		if n > 0 {
			if err := s.putPart(ctx, o, offset, part.Bytes()); err != nil {
				return objectRow{}, err
			}
			sum.Write(part.Bytes())
			offset += n
		}
		if err == io.EOF { //nolint:errorlint // a wrapped io.EOF is an error of r's
			return s.complete(ctx, o, offset, hex.EncodeToString(sum.Sum(nil)))
		}
		if err != nil {
			return objectRow{}, err
		}
	}
}
