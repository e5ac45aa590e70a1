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

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// The states of an object.
const (
	uploading = "uploading"
	complete  = "complete"
)

// objectRow is one object. Times are microseconds since the epoch.
type objectRow struct {
	bun.BaseModel `bun:"table:objects"`

	ID          string `bun:"id,pk"`
	UserID      string `bun:"user_id"`
	Name        string `bun:"name"`
	ContentType string `bun:"content_type"`
	State       string `bun:"state"`
	// Size is -1 until an upload of unknown size is complete.
	Size int64 `bun:"size"`
	// Reserved is what the object counts in usage, in bytes.
	Reserved int64  `bun:"reserved"`
	SHA256   string `bun:"sha256"`
	PartSize int64  `bun:"part_size"`
	// DataKey is the sealed key that the parts are sealed with; see seal.Sealer.NewDataKey.
	DataKey []byte `bun:"data_key"`
	// KeepFor is the object's lifetime after completion, in microseconds.
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

// partRow is one part of an object. SHA256 is of the content in clear. Stored is 1 once the object store has the part.
type partRow struct {
	bun.BaseModel `bun:"table:object_parts"`

	ObjectID string `bun:"object_id,pk"`
	Number   int64  `bun:"number,pk"`
	Size     int64  `bun:"size"`
	SHA256   string `bun:"sha256"`
	Stored   int64  `bun:"stored"`
}

// objectQuota bounds the files of a user, and those of all users in bytes.
type objectQuota struct {
	perUser    *quota.Bound
	refuse     func(*quota.Bound) error
	total      int64
	sweepEvery time.Duration
}

// allUsers is the user id of the usageRow that counts the objects of all users.
const allUsers = ""

// usageRow is the sum of the reserved bytes of a user's objects.
type usageRow struct {
	bun.BaseModel `bun:"table:object_usage"`

	UserID string `bun:"user_id,pk"`
	Bytes  int64  `bun:"bytes"`
}

var errNoObject = subjects.Errorf(subjects.CodeNotFound, "there is no such object")

// findObject reads one object of a user that has not expired.
func findObject(ctx context.Context, db bun.IDB, userID, id string, now int64) (objectRow, error) {
	var o objectRow
	err := db.NewSelect().Model(&o).Where("id = ?", strings.ToLower(id)).Where("user_id = ?", userID).Where("expires_at > ?", now).Scan(ctx)
	return o, database.OneRow(err, "reading an object", errNoObject)
}

// pageOfObjects reads a user's objects in the order and number of newestFirst, without their keys.
func pageOfObjects(ctx context.Context, db bun.IDB, userID string, r subjects.ListObjectsRequest, after string, now int64) ([]objectRow, error) {
	var rows []objectRow
	err := newestFirst(db.NewSelect().Model(&rows).ExcludeColumn("data_key"), r.PageRequest, after).
		Where("user_id = ?", userID).Where("expires_at > ?", now).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing objects: %w", err)
	}
	return rows, nil
}

// insertObject adds an object and adds its reserved bytes to the usage; see reserveUsage for its errors.
func insertObject(ctx context.Context, tx bun.Tx, o *objectRow, limits objectQuota) error {
	if err := reserveUsage(ctx, tx, o.UserID, o.Reserved, limits); err != nil {
		return err
	}
	if _, err := tx.NewInsert().Model(o).Exec(ctx); err != nil {
		return fmt.Errorf("inserting an object: %w", err)
	}
	return nil
}

// reserveUsage adds bytes to the usage of a user and of all users: CodeRateLimited if that exceeds the user's quota,
// CodeUnavailable if it exceeds the quota of all.
func reserveUsage(ctx context.Context, tx bun.Tx, userID string, bytes int64, limits objectQuota) error {
	row := usageRow{UserID: userID}
	if _, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("counting a user's objects: %w", err)
	}
	fits, err := addUsage(ctx, tx, userID, bytes, limits.perUser.Limit)
	if err == nil && !fits {
		return limits.refuse(limits.perUser)
	}
	if err != nil {
		return err
	}
	if fits, err = addUsage(ctx, tx, allUsers, bytes, limits.total); err == nil && !fits {
		return errStoreFull(limits.sweepEvery)
	}
	return err
}

// addUsage adds to a usage; false if that would exceed limit. A transaction changes the usage of all users last, because
// every other transaction waits for that row.
func addUsage(ctx context.Context, tx bun.Tx, userID string, bytes, limit int64) (fits bool, err error) {
	done, err := tx.NewUpdate().Model((*usageRow)(nil)).Set("bytes = bytes + ?", bytes).
		Where("user_id = ?", userID).Where("bytes + ? <= ?", bytes, limit).Exec(ctx)
	n, err := affected(done, err, "counting objects")
	return n == 1, err
}

// claimPart records a part before it is stored, and reserves its bytes if the object's size is unknown. stored reports that
// the part is stored already. It returns errNoObject if the object has expired or is complete, and CodeConflict if a part
// with different content was recorded.
func claimPart(ctx context.Context, tx bun.Tx, o objectRow, p *partRow, limits objectQuota, now int64) (stored bool, err error) {
	done, err := tx.NewInsert().Model(p).On("CONFLICT (object_id, number) DO NOTHING").Returning("NULL").Exec(ctx)
	n, err := affected(done, err, "recording a part")
	if err != nil {
		return false, err
	}
	var added int64
	if n == 1 && o.Size < 0 {
		added = p.Size
	}
	done, err = tx.NewUpdate().Model((*objectRow)(nil)).Set("reserved = reserved + ?", added).
		Where("id = ?", o.ID).Where("state = ?", uploading).Where("expires_at > ?", now).Exec(ctx)
	open, err := affected(done, err, "recording a part")
	if err != nil {
		return false, err
	}
	if open == 0 {
		return false, errNoObject
	}
	if added > 0 {
		return false, reserveUsage(ctx, tx, o.UserID, added, limits)
	}
	if n == 1 {
		return false, nil
	}
	return checkPart(ctx, tx, *p)
}

// checkPart reports whether a part is stored; CodeConflict if its content is not the recorded one, or none is recorded.
func checkPart(ctx context.Context, db bun.IDB, p partRow) (stored bool, err error) {
	recorded := partRow{ObjectID: p.ObjectID, Number: p.Number}
	if err := db.NewSelect().Model(&recorded).WherePK().Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("reading a part: %w", err)
	}
	if recorded.SHA256 != p.SHA256 {
		return false, errPartConflict()
	}
	return recorded.Stored == 1, nil
}

// markPartStored records that the object store has a part; false if the object was deleted.
func markPartStored(ctx context.Context, tx bun.Tx, p partRow) (bool, error) {
	done, err := tx.NewUpdate().Model(&p).Set("stored = 1").WherePK().Exec(ctx)
	n, err := affected(done, err, "marking a part as stored")
	return n == 1, err
}

// partsOf reads an object's parts in their order.
func partsOf(ctx context.Context, db bun.IDB, objectID string) ([]partRow, error) {
	var rows []partRow
	if err := db.NewSelect().Model(&rows).Where("object_id = ?", objectID).Order("number").Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading an object's parts: %w", err)
	}
	return rows, nil
}

// completeObject sets an object's state to complete; false if it is not being uploaded any more.
func completeObject(ctx context.Context, tx bun.Tx, o objectRow, now int64) (bool, error) {
	done, err := tx.NewUpdate().Model(&o).Column("state", "size", "sha256", "expires_at").WherePK().
		Where("state = ?", uploading).Where("expires_at > ?", now).Exec(ctx)
	n, err := affected(done, err, "completing an object")
	return n == 1, err
}

// expireObjects makes a user's objects expire now, or only the one of id if that is given, and returns how many it changed.
func expireObjects(ctx context.Context, tx bun.Tx, userID, id string, now int64) (int64, error) {
	q := tx.NewUpdate().Model((*objectRow)(nil)).Set("expires_at = 0").Where("user_id = ?", userID).Where("expires_at > ?", now)
	if id != "" {
		q.Where("id = ?", strings.ToLower(id))
	}
	done, err := q.Exec(ctx)
	return affected(done, err, "expiring objects")
}

// expiredObjects reads expired objects, only those of userID if that is given.
func expiredObjects(ctx context.Context, db bun.IDB, userID string, now int64, limit int) ([]objectRow, error) {
	var rows []objectRow
	q := db.NewSelect().Model(&rows).Where("expires_at <= ?", now).Order("expires_at", "id").Limit(int64(limit))
	if userID != "" {
		q.Where("user_id = ?", userID)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading expired objects: %w", err)
	}
	return rows, nil
}

// deleteObjectRows deletes the rows of an expired object and subtracts its bytes from the usage; false if the object was
// deleted concurrently.
func deleteObjectRows(ctx context.Context, tx bun.Tx, id string) (bool, error) {
	o := objectRow{ID: id}
	err := tx.NewSelect().Model(&o).Column("user_id", "reserved").WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("deleting an object: %w", err)
	}
	done, err := tx.NewDelete().Model(&o).WherePK().Exec(ctx)
	n, err := affected(done, err, "deleting an object")
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.NewDelete().Model((*partRow)(nil)).Where("object_id = ?", id).Exec(ctx); err != nil {
		return false, fmt.Errorf("deleting an object's parts: %w", err)
	}
	for _, userID := range []string{o.UserID, allUsers} {
		if _, err := addUsage(ctx, tx, userID, -o.Reserved, math.MaxInt64); err != nil {
			return false, err
		}
	}
	return true, nil
}

// deleteUsage deletes the usage of a user without objects.
func deleteUsage(ctx context.Context, tx bun.Tx, userID string) error {
	held := tx.NewSelect().Model((*objectRow)(nil)).Column("user_id").Where("user_id = ?", userID)
	_, err := tx.NewDelete().Model((*usageRow)(nil)).Where("user_id = ?", userID).Where("user_id NOT IN (?)", held).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting a user's usage: %w", err)
	}
	return nil
}

// totalUsage returns the usage of all users, in bytes.
func totalUsage(ctx context.Context, db bun.IDB) (bytes int64, err error) {
	if err := db.NewSelect().Model((*usageRow)(nil)).Column("bytes").Where("user_id = ?", allUsers).Scan(ctx, &bytes); err != nil {
		return 0, fmt.Errorf("counting objects: %w", err)
	}
	return bytes, nil
}
