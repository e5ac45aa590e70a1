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
		ctx := a.DB.Detached(ctx) // what is kept while a provider is answering is kept at once
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

// keep stores all that r yields as an object of a user's. An error of r's comes back as it is; what was stored until then
// is taken away.
func (s *objects) keep(ctx context.Context, userID string, of announced, r io.Reader) (objectRow, error) {
	o, err := s.begin(ctx, userID, of)
	if err != nil {
		return objectRow{}, err
	}
	done, err := s.fill(ctx, o, r)
	if err != nil {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), endObjectWithin)
		defer cancel()
		if e := s.end(tidy, userID, o.ID); e != nil {
			s.Log.Warn("taking back a part of an answer", zap.String("object_id", o.ID), zap.Error(e))
		}
	}
	return done, err
}

// fill stores all that r yields as an object's content. An error of r's comes back as it is.
func (s *objects) fill(ctx context.Context, o openObject, r io.Reader) (objectRow, error) {
	var part bytes.Buffer
	part.Grow(int(o.PartSize) + bytes.MinRead)
	sum, offset := sha256.New(), int64(0)
	for {
		part.Reset()
		n, err := io.CopyN(&part, r, o.PartSize)
		if n > 0 {
			if err := s.put(ctx, o, offset, part.Bytes()); err != nil {
				return objectRow{}, err
			}
			sum.Write(part.Bytes())
			offset += n
		}
		if err == io.EOF { //nolint:errorlint // one that is wrapped is no end
			return s.complete(ctx, o, offset, hex.EncodeToString(sum.Sum(nil)))
		}
		if err != nil {
			return objectRow{}, err
		}
	}
}
