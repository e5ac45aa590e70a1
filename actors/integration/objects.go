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
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// objects stores users' files for a limited time: metadata in rows, content in sealed parts in the object store.
//
// A part is recorded, then stored, then recorded as stored, so that no stored part lacks a row. An expired object is
// invisible at once; then its parts are deleted, and its row with the key last. A missing object is CodeNotFound.
type objects struct {
	actors.Deps
	config  ObjectsConfig
	parts   *kv.ObjectStore
	metrics metrics
	quota   objectQuota
}

const (
	openObjectsWithin = 10 * time.Second
	// deleteObjectWithin bounds the deletion of one object's parts.
	deleteObjectWithin = time.Minute
	// expiredBatch is how many expired objects one query returns.
	expiredBatch = 100
)

func openObjects(d actors.Deps, c ObjectsConfig, m metrics, b *bounds) (*objects, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openObjectsWithin)
	defer cancel()
	parts, err := kv.OpenObjects(ctx, d.Conn.JS, kv.IntegrationObjects)
	if err != nil {
		return nil, fmt.Errorf("opening the object store: %w", err)
	}
	return &objects{Deps: d, config: c, parts: parts, metrics: m, quota: objectQuota{
		perUser: b.objects, refuse: b.Refuse, total: c.Total, sweepEvery: c.SweepEvery,
	}}, nil
}

// openObject is an object with the opened key of its parts.
type openObject struct {
	objectRow
	key *seal.Sealer
}

// uploadSpec is what is known of an object before its content is uploaded. size is -1 if it is unknown. Defaults apply to
// fields that are zero.
type uploadSpec struct {
	name, contentType string
	size              int64
	keepFor           time.Duration
}

// create creates an object whose parts are to be uploaded.
func (s *objects) create(ctx context.Context, userID string, spec uploadSpec) (openObject, error) {
	if spec.size > s.config.MaxSize {
		return openObject{}, errTooLarge(s.config.MaxSize)
	}
	now := s.Now()
	o := objectRow{
		ID: s.NewID(), UserID: userID, Name: cmp.Or(spec.name, defaultObjectName), ContentType: cmp.Or(spec.contentType, defaultObjectType),
		State: uploading, Size: spec.size, Reserved: objectOverhead + max(spec.size, 0), PartSize: s.config.PartSize,
		KeepFor:   cmp.Or(spec.keepFor, s.config.KeepFor).Microseconds(),
		CreatedAt: now.UnixMicro(), ExpiresAt: now.Add(s.config.UploadWithin).UnixMicro(),
	}
	key, sealed, err := s.Sealer.NewDataKey(objectContext(userID, o.ID))
	if err != nil {
		return openObject{}, err
	}
	o.DataKey = sealed
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return insertObject(ctx, tx, &o, s.quota) })
	return openObject{o, key}, err
}

// get reads a user's object and opens its key.
func (s *objects) get(ctx context.Context, userID, id string) (openObject, error) {
	o, err := findObject(ctx, s.DB.DB, userID, id, s.Now().UnixMicro())
	if err != nil {
		return openObject{}, err
	}
	key, err := s.Sealer.OpenDataKey(o.DataKey, objectContext(o.UserID, o.ID))
	return openObject{o, key}, err
}

// getComplete is get; CodeConflict if the object is still being uploaded.
func (s *objects) getComplete(ctx context.Context, userID, id string) (openObject, error) {
	o, err := s.get(ctx, userID, id)
	if err == nil && o.State != complete {
		err = subjects.Errorf(subjects.CodeConflict, "the object is still being uploaded")
	}
	return o, err
}

// putPart stores a part durably. Storing the same part again has no effect.
func (s *objects) putPart(ctx context.Context, o openObject, offset int64, content []byte) error {
	number, err := partNumber(o.objectRow, offset, int64(len(content)), s.config.MaxSize)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	p := partRow{ObjectID: o.ID, Number: number, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
	if o.State == complete {
		_, err := checkPart(ctx, s.DB.DB, p)
		return err
	}
	var stored bool
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		stored, err = claimPart(ctx, tx, o.objectRow, &p, s.quota, s.Now().UnixMicro())
		return err
	})
	if err != nil || stored {
		return err
	}
	sealed, err := o.key.Seal(content, partContext(o.ID, number))
	if err != nil {
		return err
	}
	if err := s.parts.Put(ctx, partName(o.ID, number), sealed); err != nil {
		return asError(err)
	}
	var marked bool
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		marked, err = markPartStored(ctx, tx, p)
		return err
	})
	if err == nil && !marked { // the object was deleted concurrently
		return errors.Join(errNoObject, s.parts.Delete(ctx, partName(o.ID, number)))
	}
	return err
}

// complete makes an object usable, after its content has been checked. Completing it again has no effect.
func (s *objects) complete(ctx context.Context, o openObject, size int64, sum string) (objectRow, error) {
	now := s.Now()
	done := o.objectRow
	done.State, done.Size, done.SHA256, done.ExpiresAt = complete, size, sum, now.UnixMicro()+o.KeepFor
	var completed bool
	err := s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		completed, err = completeObject(ctx, tx, done, now.UnixMicro())
		return err
	})
	if err != nil || completed {
		s.metrics.countObjectIf(err == nil, "stored")
		return done, err
	}
	current, err := findObject(ctx, s.DB.DB, o.UserID, o.ID, now.UnixMicro())
	if err == nil && (current.SHA256 != sum || current.Size != size) {
		err = errChecksum()
	}
	return current, err
}

// readPart returns the content of one part.
func (s *objects) readPart(ctx context.Context, o openObject, number int64) ([]byte, error) {
	sealed, err := s.parts.Get(ctx, partName(o.ID, number))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, errNoObject // it has expired since it was read
	}
	if err != nil {
		return nil, asError(err)
	}
	return o.key.Open(sealed, partContext(o.ID, number))
}

// reader reads the first size bytes of an object, a part at a time.
func (s *objects) reader(ctx context.Context, o openObject, size int64) io.ReadCloser {
	return &objectReader{readPart: func(number int64) ([]byte, error) { return s.readPart(ctx, o, number) }, left: size}
}

type objectReader struct {
	readPart func(number int64) ([]byte, error)
	next     int64
	left     int64
	part     bytes.Reader
}

// Read implements io.Reader.
func (r *objectReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.part.Len() == 0 {
		content, err := r.readPart(r.next)
		if err != nil {
			return 0, err
		}
		r.part.Reset(content)
		r.next++
	}
	n, err := r.part.Read(p)
	r.left -= int64(n)
	return n, err
}

// Close implements io.Closer.
func (r *objectReader) Close() error { return nil }

// delete makes a user's object expire, and deletes it once that is committed.
func (s *objects) delete(ctx context.Context, userID, id string) error {
	err := s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		n, err := expireObjects(ctx, tx, userID, id, s.Now().UnixMicro())
		if err == nil && n == 0 {
			return errNoObject
		}
		return err
	})
	if err != nil {
		return err
	}
	s.DB.AfterCommit(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), deleteObjectWithin)
		defer cancel()
		// If it fails, run deletes the object later.
		if _, err := s.deleteExpired(ctx, userID); err != nil {
			s.Log.Warn("deleting an object", zap.String("object_id", id), zap.Error(err))
		}
	})
	return nil
}

// deleteExpired deletes the expired objects of a user, or of all if none is given, and returns how many it deleted.
func (s *objects) deleteExpired(ctx context.Context, userID string) (int64, error) {
	var total int64
	for {
		rows, err := expiredObjects(ctx, s.DB.DB, userID, s.Now().UnixMicro(), expiredBatch)
		if err != nil {
			return total, err
		}
		for _, o := range rows {
			deleted, err := s.deleteContent(ctx, o)
			if err != nil {
				return total, err
			}
			if deleted {
				total++
			}
		}
		if len(rows) < expiredBatch {
			return total, nil
		}
	}
}

// deleteContent deletes an expired object's parts and rows; false if another process has deleted the rows.
func (s *objects) deleteContent(ctx context.Context, o objectRow) (deleted bool, err error) {
	parts, err := partsOf(ctx, s.DB.DB, o.ID)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		if err := s.parts.Delete(ctx, partName(o.ID, p.Number)); err != nil {
			return false, err
		}
	}
	err = s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		deleted, err = deleteObjectRows(ctx, tx, o.ID)
		return err
	})
	result := "deleted"
	if o.ExpiresAt > 0 {
		result = "expired"
	}
	s.metrics.countObjectIf(deleted, result)
	return deleted, err
}

// run deletes expired objects and updates the metric of used bytes, until ctx ends.
func (s *objects) run(ctx context.Context) error {
	return wait.Repeat(ctx, s.config.SweepEvery, func(ctx context.Context) error {
		if _, err := s.deleteExpired(ctx, ""); err != nil {
			return err
		}
		used, err := totalUsage(ctx, s.DB.DB)
		if err != nil {
			return err
		}
		s.metrics.objectBytes.Set(float64(used))
		return nil
	})
}
