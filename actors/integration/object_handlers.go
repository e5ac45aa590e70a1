package integration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// createObject starts an upload.
func (a *Actor) createObject(ctx context.Context, r subjects.CreateObjectRequest) (subjects.Object, error) {
	keepFor := time.Duration(r.ExpiresIn) * time.Second
	if limit := a.config.Objects.MaxKeepFor; r.ExpiresIn > int64(limit/time.Second) {
		return subjects.Object{}, subjects.InvalidField("expires_in", "must be at most %d", int64(limit/time.Second))
	}
	size := int64(-1)
	if r.Size != nil {
		size = *r.Size
	}
	o, err := a.objects.create(ctx, actors.CallerFrom(ctx).UserID, uploadSpec{name: r.Name, contentType: r.ContentType, size: size, keepFor: keepFor})
	return o.resource(), err
}

func (a *Actor) putObjectPart(ctx context.Context, r subjects.PartRequest) (subjects.PartReceipt, error) {
	o, err := a.objects.get(ctx, actors.CallerFrom(ctx).UserID, r.ObjectID)
	if err == nil {
		err = a.objects.putPart(ctx, o, r.Offset, r.Content)
	}
	return subjects.PartReceipt{ObjectID: o.ID, Offset: r.Offset, Size: int64(len(r.Content))}, err
}

// completeObject completes an upload. It reads the stored content to verify the checksum.
func (a *Actor) completeObject(ctx context.Context, r subjects.EndRequest) (subjects.Object, error) {
	none := subjects.Object{}
	o, err := a.objects.get(ctx, actors.CallerFrom(ctx).UserID, r.ObjectID)
	if err != nil {
		return none, err
	}
	if o.State == uploading {
		if o.Size >= 0 && o.Size != r.Size {
			return none, subjects.InvalidField("size", "must be the %d bytes that were announced", o.Size)
		}
		parts, err := partsOf(ctx, a.DB.DB, o.ID)
		if err != nil {
			return none, err
		}
		if err := checkComplete(parts, o.PartSize, r.Size); err != nil {
			return none, err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, a.objects.reader(ctx, o, r.Size)); err != nil {
			return none, fmt.Errorf("reading an uploaded object: %w", err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != r.SHA256 {
			return none, errChecksum()
		}
	}
	done, err := a.objects.complete(ctx, o, r.Size, r.SHA256)
	return done.resource(), err
}

func (a *Actor) getObject(ctx context.Context, r subjects.ObjectRequest) (subjects.Object, error) {
	o, err := findObject(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.ObjectID, a.Now().UnixMicro())
	return o.resource(), notFound(err, "object")
}

func (a *Actor) listObjects(ctx context.Context, r subjects.ListObjectsRequest) (subjects.Page[subjects.Object], error) {
	none := subjects.Page[subjects.Object]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	rows, err := pageOfObjects(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after[0], a.Now().UnixMicro())
	if err != nil {
		return none, err
	}
	items := make([]subjects.Object, len(rows))
	for i, row := range rows {
		items[i] = row.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(o subjects.Object) []string { return []string{o.ID} }), nil
}

// objectContent returns the content from an offset to the end of the part that contains the offset.
func (a *Actor) objectContent(ctx context.Context, r subjects.ContentRequest) (subjects.ContentPart, error) {
	none := subjects.ContentPart{}
	o, err := a.objects.getComplete(ctx, actors.CallerFrom(ctx).UserID, r.ObjectID)
	if err != nil {
		return none, err
	}
	if r.Offset > o.Size {
		return none, subjects.InvalidField("offset", "must be at most the size, %d", o.Size)
	}
	content := subjects.ContentPart{
		Name: o.Name, ContentType: o.ContentType, Size: o.Size, SHA256: o.SHA256, Offset: r.Offset, Content: []byte{},
	}
	if r.Offset < o.Size {
		part, err := a.objects.readPart(ctx, o, r.Offset/o.PartSize)
		if err != nil {
			return none, err
		}
		content.Content = part[r.Offset%o.PartSize:]
	}
	return content, nil
}

func (a *Actor) deleteObject(ctx context.Context, r subjects.ObjectRequest) (subjects.Empty, error) {
	return subjects.Empty{}, a.objects.delete(ctx, actors.CallerFrom(ctx).UserID, r.ObjectID)
}
