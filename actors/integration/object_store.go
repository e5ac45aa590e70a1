package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/subjects"
)

// The states of an object.
const (
	uploading = "uploading"
	complete  = "complete"
)

// objectRow is one object. Times are microseconds since 1970.
type objectRow struct {
	bun.BaseModel `bun:"table:objects"`

	ID          string `bun:"id,pk"`
	UserID      string `bun:"user_id"`
	Name        string `bun:"name"`
	ContentType string `bun:"content_type"`
	State       string `bun:"state"`
	// Size is -1 while it is uploaded and nobody has said.
	Size int64 `bun:"size"`
	// Reserved is what it takes of what its user may keep.
	Reserved int64  `bun:"reserved"`
	SHA256   string `bun:"sha256"`
	PartSize int64  `bun:"part_size"`
	// DataKey is what its parts are sealed with, sealed; see actors.Sealer.NewDataKey.
	DataKey []byte `bun:"data_key"`
	// KeepFor is how long it is kept once it is complete.
	KeepFor   int64 `bun:"keep_for"`
	CreatedAt int64 `bun:"created_at"`
	ExpiresAt int64 `bun:"expires_at"`
}

func (o objectRow) resource() subjects.Object {
	return subjects.Object{
		ID: o.ID, Name: o.Name, ContentType: o.ContentType, State: o.State, Size: max(o.Size, 0), SHA256: o.SHA256, PartSize: o.PartSize,
		CreatedAt: time.UnixMicro(o.CreatedAt).UTC(), ExpiresAt: time.UnixMicro(o.ExpiresAt).UTC(),
	}
}

// partRow is one part of an object. SHA256 is of its content in clear.
type partRow struct {
	bun.BaseModel `bun:"table:object_parts"`

	ObjectID string `bun:"object_id,pk"`
	Number   int64  `bun:"number,pk"`
	Size     int64  `bun:"size"`
	SHA256   string `bun:"sha256"`
	Stored   int64  `bun:"stored"`
}

// everybody is whose usageRow counts the objects of all users.
const everybody = ""

// usageRow is what a user's objects take up.
type usageRow struct {
	bun.BaseModel `bun:"table:object_usage"`

	UserID string `bun:"user_id,pk"`
	Bytes  int64  `bun:"bytes"`
}

func noObject() error { return subjects.Errorf(subjects.CodeNotFound, "there is no such object") }

// findObject reads one object of a user that has not ended.
func findObject(ctx context.Context, db bun.IDB, userID, id string, now int64) (objectRow, error) {
	var o objectRow
	err := db.NewSelect().Model(&o).Where("id = ?", strings.ToLower(id)).Where("user_id = ?", userID).Where("expires_at > ?", now).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return o, noObject()
	}
	if err != nil {
		return o, fmt.Errorf("reading an object: %w", err)
	}
	return o, nil
}

// pageOfObjects reads a user's objects, newest first, after the given id; one more than asked.
func pageOfObjects(ctx context.Context, db bun.IDB, userID string, r subjects.ListObjectsRequest, after string, now int64) ([]objectRow, error) {
	var rows []objectRow
	err := newestFirst(db.NewSelect().Model(&rows).ExcludeColumn("data_key"), r.PageRequest, after).
		Where("user_id = ?", userID).Where("expires_at > ?", now).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing objects: %w", err)
	}
	return rows, nil
}

// insertObject adds an object and takes what it reserves.
func insertObject(ctx context.Context, tx bun.Tx, o *objectRow, most ObjectsConfig) error {
	if err := takeUsage(ctx, tx, o.UserID, o.Reserved, most); err != nil {
		return err
	}
	if _, err := tx.NewInsert().Model(o).Exec(ctx); err != nil {
		return fmt.Errorf("inserting an object: %w", err)
	}
	return nil
}

// takeUsage counts bytes for a user, and for all: conflict where that is more than the user may keep, unavailable where it is more
// than is kept of all.
func takeUsage(ctx context.Context, tx bun.Tx, userID string, bytes int64, most ObjectsConfig) error {
	row := usageRow{UserID: userID}
	if _, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("counting a user's objects: %w", err)
	}
	fits, err := addUsage(ctx, tx, userID, bytes, most.PerUser)
	if err == nil && !fits {
		return overQuota(most.PerUser)
	}
	if err != nil {
		return err
	}
	if fits, err = addUsage(ctx, tx, everybody, bytes, most.Total); err == nil && !fits {
		return storeFull(most.SweepEvery)
	}
	return err
}

// addUsage adds to one count; false where that would pass what it may be. Everybody's is the last that a transaction changes: all
// wait for it.
func addUsage(ctx context.Context, tx bun.Tx, userID string, bytes, most int64) (fits bool, err error) {
	done, err := tx.NewUpdate().Model((*usageRow)(nil)).Set("bytes = bytes + ?", bytes).
		Where("user_id = ?", userID).Where("bytes + ? <= ?", bytes, most).Exec(ctx)
	n, err := affected(done, err, "counting objects")
	return n == 1, err
}

// claimPart notes a part before it is stored, counting its bytes where the object's size is not known; stored tells that
// it has been before. not_found where the object has ended, conflict where it has other content in that place.
func claimPart(ctx context.Context, tx bun.Tx, o objectRow, p *partRow, most ObjectsConfig, now int64) (stored bool, err error) {
	done, err := tx.NewInsert().Model(p).On("CONFLICT (object_id, number) DO NOTHING").Returning("NULL").Exec(ctx)
	n, err := affected(done, err, "noting a part")
	if err != nil {
		return false, err
	}
	var grows int64
	if n == 1 && o.Size < 0 {
		grows = p.Size
	}
	done, err = tx.NewUpdate().Model((*objectRow)(nil)).Set("reserved = reserved + ?", grows).
		Where("id = ?", o.ID).Where("state = ?", uploading).Where("expires_at > ?", now).Exec(ctx)
	open, err := affected(done, err, "noting a part")
	if err != nil {
		return false, err
	}
	if open == 0 {
		return false, noObject()
	}
	if grows > 0 {
		return false, takeUsage(ctx, tx, o.UserID, grows, most)
	}
	if n == 1 {
		return false, nil
	}
	return samePart(ctx, tx, *p)
}

// samePart tells whether a part is stored; conflict where there is another, or none, in its place.
func samePart(ctx context.Context, db bun.IDB, p partRow) (stored bool, err error) {
	there := partRow{ObjectID: p.ObjectID, Number: p.Number}
	if err := db.NewSelect().Model(&there).WherePK().Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("reading a part: %w", err)
	}
	if there.SHA256 != p.SHA256 {
		return false, otherPart()
	}
	return there.Stored == 1, nil
}

// markStored notes that the object store has a part; false where its object is gone.
func markStored(ctx context.Context, tx bun.Tx, p partRow) (bool, error) {
	done, err := tx.NewUpdate().Model(&p).Set("stored = 1").WherePK().Exec(ctx)
	n, err := affected(done, err, "noting a stored part")
	return n == 1, err
}

// partsOf reads an object's parts, the first one first.
func partsOf(ctx context.Context, db bun.IDB, objectID string) ([]partRow, error) {
	var rows []partRow
	if err := db.NewSelect().Model(&rows).Where("object_id = ?", objectID).Order("number").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading an object's parts: %w", err)
	}
	return rows, nil
}

// completeObject makes an object one that is used; false where it is no longer being uploaded.
func completeObject(ctx context.Context, tx bun.Tx, o objectRow, now int64) (bool, error) {
	done, err := tx.NewUpdate().Model(&o).Column("state", "size", "sha256", "expires_at").WherePK().
		Where("state = ?", uploading).Where("expires_at > ?", now).Exec(ctx)
	n, err := affected(done, err, "completing an object")
	return n == 1, err
}

// endObjects has a user's objects end now, or the one of that id; it tells how many those were.
func endObjects(ctx context.Context, tx bun.Tx, userID, id string, now int64) (int64, error) {
	q := tx.NewUpdate().Model((*objectRow)(nil)).Set("expires_at = 0").Where("user_id = ?", userID).Where("expires_at > ?", now)
	if id != "" {
		q.Where("id = ?", strings.ToLower(id))
	}
	done, err := q.Exec(ctx)
	return affected(done, err, "ending objects")
}

// endedObjects reads objects that have ended, of one user where one is named.
func endedObjects(ctx context.Context, db bun.IDB, userID string, now int64, most int) ([]objectRow, error) {
	var rows []objectRow
	q := db.NewSelect().Model(&rows).Where("expires_at <= ?", now).Order("expires_at", "id").Limit(int64(most))
	if userID != "" {
		q.Where("user_id = ?", userID)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading objects that have ended: %w", err)
	}
	return rows, nil
}

// forgetObject deletes the rows of an object that has ended, and gives its bytes back; false where somebody else has.
func forgetObject(ctx context.Context, tx bun.Tx, id string) (bool, error) {
	o := objectRow{ID: id}
	err := tx.NewSelect().Model(&o).Column("user_id", "reserved").WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("forgetting an object: %w", err)
	}
	done, err := tx.NewDelete().Model(&o).WherePK().Exec(ctx)
	n, err := affected(done, err, "forgetting an object")
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.NewDelete().Model((*partRow)(nil)).Where("object_id = ?", id).Exec(ctx); err != nil {
		return false, fmt.Errorf("forgetting an object's parts: %w", err)
	}
	for _, userID := range []string{o.UserID, everybody} {
		if _, err := addUsage(ctx, tx, userID, -o.Reserved, math.MaxInt64); err != nil {
			return false, err
		}
	}
	return true, nil
}

// wipeUsage forgets what a user's objects took up, who has none.
func wipeUsage(ctx context.Context, tx bun.Tx, userID string) error {
	held := tx.NewSelect().Model((*objectRow)(nil)).Column("user_id").Where("user_id = ?", userID)
	_, err := tx.NewDelete().Model((*usageRow)(nil)).Where("user_id = ?", userID).Where("user_id NOT IN (?)", held).Exec(ctx)
	if err != nil {
		return fmt.Errorf("wiping a user's count: %w", err)
	}
	return nil
}

// keptBytes is what all users' objects take up.
func keptBytes(ctx context.Context, db bun.IDB) (bytes int64, err error) {
	if err := db.NewSelect().Model((*usageRow)(nil)).Column("bytes").Where("user_id = ?", everybody).Scan(ctx, &bytes); err != nil {
		return 0, fmt.Errorf("counting objects: %w", err)
	}
	return bytes, nil
}

// affected is how many rows a statement changed.
func affected(result sql.Result, err error, doing string) (int64, error) {
	if err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	return result.RowsAffected()
}

// sealedObject is the column that holds objects' keys.
func sealedObject() seal.Column {
	return seal.Column{
		Table: "objects", Column: "data_key", Key: []string{"id"}, With: []string{"user_id"},
		Associated: func(values []string) []byte { return objectSealedFor(values[1], values[0]) },
	}
}
