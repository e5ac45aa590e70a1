package notification

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// deviceRow is a device that gets push messages. Times are microseconds since the Unix epoch.
type deviceRow struct {
	bun.BaseModel `bun:"table:devices"`

	ID        string `bun:"id,pk"`
	UserID    string `bun:"user_id"`
	Platform  string `bun:"platform"`
	TokenHash string `bun:"token_hash"`
	// Address is a sealed deviceAddress, in base64.
	Address      string `bun:"address"`
	Name         string `bun:"name"`
	CreatedAt    int64  `bun:"created_at"`
	RegisteredAt int64  `bun:"registered_at"`
}

var errNoDevice = subjects.Errorf(subjects.CodeNotFound, "device not found")

// deviceByToken returns the device with a token, or errNoDevice.
func (s store) deviceByToken(ctx context.Context, tx bun.Tx, hash string) (deviceRow, error) {
	var row deviceRow
	err := tx.NewSelect().Model(&row).Where("token_hash = ?", hash).Scan(ctx)
	return row, database.OneRow(err, "reading a device", errNoDevice)
}

func (store) insertDevice(ctx context.Context, tx bun.Tx, row *deviceRow) error {
	_, err := tx.NewInsert().Model(row).Exec(ctx)
	return wrapped(err, "inserting a device")
}

func (store) updateDevice(ctx context.Context, tx bun.Tx, row *deviceRow) error {
	_, err := tx.NewUpdate().Model(row).Column("address", "name", "registered_at").WherePK().Exec(ctx)
	return wrapped(err, "updating a device")
}

// deleteDevice deletes a user's device. hash, if it is not empty, must be its token's. It reports whether there was one.
func (store) deleteDevice(ctx context.Context, tx bun.Tx, userID, id, hash string) (bool, error) {
	q := tx.NewDelete().Model((*deviceRow)(nil)).Where("id = ?", id).Where("user_id = ?", userID)
	if hash != "" {
		q.Where("token_hash = ?", hash)
	}
	result, err := q.Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("deleting a device: %w", err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// deleteOthersDevice deletes the device with a token unless it is a user's own.
func (store) deleteOthersDevice(ctx context.Context, tx bun.Tx, userID, hash string) error {
	_, err := tx.NewDelete().Model((*deviceRow)(nil)).Where("token_hash = ?", hash).Where("user_id <> ?", userID).Exec(ctx)
	return wrapped(err, "deleting a device")
}

// devices returns a user's devices after an id, in the order of their registration; all where limit is 0.
func (s store) devices(ctx context.Context, userID, after string, limit int) ([]deviceRow, error) {
	var rows []deviceRow
	q := s.db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("id > ?", after).Order("id")
	if limit > 0 {
		q.Limit(int64(limit))
	}
	return rows, wrapped(q.Scan(ctx), "listing devices")
}

func countDevices(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	n, err := db.NewSelect().Model((*deviceRow)(nil)).Where("user_id = ?", userID).Count(ctx)
	return n, wrapped(err, "counting devices")
}

// deleteAddresses deletes the devices and phone numbers of some users. It returns how many there were.
func (store) deleteAddresses(ctx context.Context, tx bun.Tx, userIDs []string) (items int64, err error) {
	for _, model := range []any{(*deviceRow)(nil), (*phoneRow)(nil), (*phoneCodeRow)(nil)} {
		result, err := tx.NewDelete().Model(model).Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx)
		if err != nil {
			return 0, fmt.Errorf("deleting addresses: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, fmt.Errorf("deleting addresses: %w", err)
		}
		if _, record := model.(*phoneCodeRow); !record {
			items += n
		}
	}
	return items, nil
}
