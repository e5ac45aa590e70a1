package integration

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// objects keeps files for a while: what they are in rows, their parts in the object store, sealed. A part is noted, stored
// and noted as stored, in this order; an object that has ended is used by nobody from that moment, and goes part by part,
// its row and its key last.
type objects struct {
	actors.Deps
	config  ObjectsConfig
	store   *kv.ObjectStore
	metrics metrics
}

const (
	openObjectsWithin = 10 * time.Second
	// endObjectWithin bounds the deletion of one object's parts.
	endObjectWithin = time.Minute
	// sweepObjects is how many objects one look takes away.
	sweepObjects = 100
)

func openObjects(d actors.Deps, c ObjectsConfig, m metrics) (*objects, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openObjectsWithin)
	defer cancel()
	store, err := kv.OpenObjects(ctx, d.Conn.JS, kv.IntegrationObjects)
	if err != nil {
		return nil, fmt.Errorf("opening the objects: %w", err)
	}
	return &objects{Deps: d, config: c, store: store, metrics: m}, nil
}

// openObject is an object with the key of its parts.
type openObject struct {
	objectRow
	key *seal.Sealer
}

// announced is what is said of an object before its content comes. size is -1 where nobody knows.
type announced struct {
	name, contentType string
	size              int64
	keepFor           time.Duration
}

// begin makes an object whose parts are to come.
func (s *objects) begin(ctx context.Context, userID string, of announced) (openObject, error) {
	if of.size > s.config.MaxSize {
		return openObject{}, tooLarge(s.config.MaxSize)
	}
	now := s.Now()
	o := objectRow{
		ID: s.NewID(), UserID: userID, Name: cmp.Or(of.name, defaultObjectName), ContentType: cmp.Or(of.contentType, defaultObjectType),
		State: uploading, Size: of.size, Reserved: objectOverhead + max(of.size, 0), PartSize: s.config.PartSize,
		KeepFor:   cmp.Or(of.keepFor, s.config.KeepFor).Microseconds(),
		CreatedAt: now.UnixMicro(), ExpiresAt: now.Add(s.config.UploadWithin).UnixMicro(),
	}
	key, sealed, err := s.Sealer.NewDataKey(objectSealedFor(userID, o.ID))
	if err != nil {
		return openObject{}, err
	}
	o.DataKey = sealed
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return insertObject(ctx, tx, &o, s.config) })
	return openObject{o, key}, err
}

// find reads an object of a user's and opens its key.
func (s *objects) find(ctx context.Context, userID, id string) (openObject, error) {
	o, err := findObject(ctx, s.DB.DB, userID, id, s.Now().UnixMicro())
	if err != nil {
		return openObject{}, err
	}
	key, err := s.Sealer.OpenDataKey(o.DataKey, objectSealedFor(o.UserID, o.ID))
	return openObject{o, key}, err
}

// put stores a part. Once it returns, the part survives a crash.
func (s *objects) put(ctx context.Context, o openObject, offset int64, content []byte) error {
	number, err := partFits(o.objectRow, offset, int64(len(content)), s.config.MaxSize)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	p := partRow{ObjectID: o.ID, Number: number, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
	if o.State == complete {
		_, err := samePart(ctx, s.DB.DB, p)
		return err
	}
	var stored bool
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		stored, err = claimPart(ctx, tx, o.objectRow, &p, s.config, s.Now().UnixMicro())
		return err
	})
	if err != nil || stored {
		return err
	}
	sealed, err := o.key.Seal(content, partSealedFor(o.ID, number))
	if err != nil {
		return err
	}
	if err := s.store.Put(ctx, partName(o.ID, number), sealed); err != nil {
		return asError(err)
	}
	var there bool
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		there, err = markStored(ctx, tx, p)
		return err
	})
	if err == nil && !there { // it was deleted meanwhile
		return errors.Join(noObject(), s.store.Delete(ctx, partName(o.ID, number)))
	}
	return err
}

// complete has an object be used, whose content has been checked.
func (s *objects) complete(ctx context.Context, o openObject, size int64, sum string) (objectRow, error) {
	now := s.Now()
	done := o.objectRow
	done.State, done.Size, done.SHA256, done.ExpiresAt = complete, size, sum, now.UnixMicro()+o.KeepFor
	var news bool
	err := s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		news, err = completeObject(ctx, tx, done, now.UnixMicro())
		return err
	})
	if err != nil || news {
		s.metrics.countObject("stored", err == nil)
		return done, err
	}
	there, err := findObject(ctx, s.DB.DB, o.UserID, o.ID, now.UnixMicro())
	if err == nil && (there.SHA256 != sum || there.Size != size) {
		err = otherContent()
	}
	return there, err
}

func otherContent() error {
	return subjects.InvalidField("sha256", "is not of the content that is stored")
}

// read is the content of one part.
func (s *objects) read(ctx context.Context, o openObject, number int64) ([]byte, error) {
	sealed, err := s.store.Get(ctx, partName(o.ID, number))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, noObject() // it has ended since
	}
	if err != nil {
		return nil, asError(err)
	}
	return o.key.Open(sealed, partSealedFor(o.ID, number))
}

// reader reads a whole content, a part at a time.
func (s *objects) reader(ctx context.Context, o openObject, size int64) io.ReadCloser {
	return &objectReader{read: func(number int64) ([]byte, error) { return s.read(ctx, o, number) }, left: size}
}

type objectReader struct {
	read   func(number int64) ([]byte, error)
	number int64
	left   int64
	part   bytes.Reader
}

// Read implements io.Reader.
func (r *objectReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.part.Len() == 0 {
		content, err := r.read(r.number)
		if err != nil {
			return 0, err
		}
		r.part.Reset(content)
		r.number++
	}
	n, err := r.part.Read(p)
	r.left -= int64(n)
	return n, err
}

// Close implements io.Closer.
func (r *objectReader) Close() error { return nil }

// end has an object of a user's end, and takes it away once that is committed.
func (s *objects) end(ctx context.Context, userID, id string) error {
	err := s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		n, err := endObjects(ctx, tx, userID, id, s.Now().UnixMicro())
		if err == nil && n == 0 {
			return noObject()
		}
		return err
	})
	if err != nil {
		return err
	}
	s.DB.AfterCommit(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), endObjectWithin)
		defer cancel()
		// Where it fails the sweep goes on: nobody reaches the object any more.
		if _, err := s.sweep(ctx, userID); err != nil {
			s.Log.Warn("deleting an object", zap.String("object_id", id), zap.Error(err))
		}
	})
	return nil
}

// sweep takes away what has ended, of one user where one is named, and tells how many objects those were.
func (s *objects) sweep(ctx context.Context, userID string) (int64, error) {
	var gone int64
	for {
		rows, err := endedObjects(ctx, s.DB.DB, userID, s.Now().UnixMicro(), sweepObjects)
		if err != nil {
			return gone, err
		}
		for _, o := range rows {
			mine, err := s.remove(ctx, o)
			if err != nil {
				return gone, err
			}
			if mine {
				gone++
			}
		}
		if len(rows) < sweepObjects {
			return gone, nil
		}
	}
}

// remove deletes an object that has ended; false where somebody else has.
func (s *objects) remove(ctx context.Context, o objectRow) (mine bool, err error) {
	parts, err := partsOf(ctx, s.DB.DB, o.ID)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		if err := s.store.Delete(ctx, partName(o.ID, p.Number)); err != nil {
			return false, err
		}
	}
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		mine, err = forgetObject(ctx, tx, o.ID)
		return err
	})
	result := "deleted"
	if o.ExpiresAt > 0 {
		result = "expired"
	}
	s.metrics.countObject(result, mine)
	return mine, err
}

// run takes away what has ended until ctx ends.
func (s *objects) run(ctx context.Context) error {
	tick := time.NewTicker(s.config.SweepEvery)
	defer tick.Stop()
	for {
		if _, err := s.sweep(ctx, ""); err != nil && ctx.Err() == nil {
			return err
		}
		kept, err := keptBytes(ctx, s.DB.DB)
		if err != nil && ctx.Err() == nil {
			return err
		}
		s.metrics.objectBytes.Set(float64(kept))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
