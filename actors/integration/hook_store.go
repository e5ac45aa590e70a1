package integration

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// hookRow is one hook. Times are microseconds since the epoch, 0 for none.
type hookRow struct {
	bun.BaseModel `bun:"table:hooks"`

	ID           string `bun:"id,pk"`
	UserID       string `bun:"user_id"`
	ConnectionID string `bun:"connection_id"`
	Provider     string `bun:"provider"`
	Label        string `bun:"label"`
	// Secret and OldSecret are sealed; nil if there is none. OldSecret is valid until OldUntil.
	Secret    []byte `bun:"secret"`
	OldSecret []byte `bun:"old_secret"`
	OldUntil  int64  `bun:"old_until"`
	// OpenedAt is the start of the time in which a handshake may set the secret; 0 if none may.
	OpenedAt int64 `bun:"opened_at"`
	// Reveal is 1 while the user may read the secret that the provider has sent, because the provider asks for it.
	Reveal     int64 `bun:"reveal"`
	Version    int64 `bun:"version"`
	ReceivedAt int64 `bun:"received_at"`
	CreatedAt  int64 `bun:"created_at"`
	UpdatedAt  int64 `bun:"updated_at"`
}

func (h hookRow) oldUntil() time.Time { return time.UnixMicro(h.OldUntil).UTC() }

// deliveryRow records a delivery, or an event of one, that a hook has received. Key is a deliveryKey.
type deliveryRow struct {
	bun.BaseModel `bun:"table:hook_deliveries"`

	HookID string `bun:"hook_id,pk"`
	Key    string `bun:"key,pk"`
	At     int64  `bun:"at"`
}

// findHookByURL reads the hook of a URL, of whatever user.
func findHookByURL(ctx context.Context, db bun.IDB, provider, id string) (hookRow, error) {
	var h hookRow
	err := db.NewSelect().Model(&h).Where("id = ?", strings.ToLower(id)).Where("provider = ?", provider).Scan(ctx)
	return h, readError(err, "reading a hook")
}

// findHook reads one hook of a user's connection.
func findHook(ctx context.Context, db bun.IDB, userID, connectionID, id string) (hookRow, error) {
	var h hookRow
	err := db.NewSelect().Model(&h).Where("id = ?", strings.ToLower(id)).Where("connection_id = ?", strings.ToLower(connectionID)).
		Where("user_id = ?", userID).Scan(ctx)
	return h, readError(err, "reading a hook")
}

// pageOfHooks reads a connection's hooks in the order and number of newestFirst.
func pageOfHooks(ctx context.Context, db bun.IDB, userID string, r subjects.ListHooksRequest, after string) ([]hookRow, error) {
	var rows []hookRow
	err := newestFirst(db.NewSelect().Model(&rows), r.PageRequest, after).
		Where("connection_id = ?", strings.ToLower(r.IntegrationID)).Where("user_id = ?", userID).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing hooks: %w", err)
	}
	return rows, nil
}

func countHooks(ctx context.Context, db bun.IDB, connectionID string) (int64, error) {
	n, err := db.NewSelect().Model((*hookRow)(nil)).Where("connection_id = ?", connectionID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting hooks: %w", err)
	}
	return n, nil
}

func insertHook(ctx context.Context, tx bun.Tx, h *hookRow) error {
	if _, err := tx.NewInsert().Model(h).Exec(ctx); err != nil {
		return fmt.Errorf("inserting a hook: %w", err)
	}
	return nil
}

// replaceHook updates a hook; CodeConflict if its version is not the given one any more.
func replaceHook(ctx context.Context, tx bun.Tx, h *hookRow, version int64) error {
	result, err := tx.NewUpdate().Model(h).ExcludeColumn("id", "user_id", "connection_id", "provider", "created_at", "received_at").
		WherePK().Where("version = ?", version).Exec(ctx)
	n, err := affected(result, err, "updating a hook")
	if err == nil && n == 0 {
		return subjects.Errorf(subjects.CodeConflict, "the hook was changed concurrently")
	}
	return err
}

// markReceived sets when a hook has received a delivery, and ends the time in which its secret may be read. The row lock
// orders concurrent deliveries of the hook.
func markReceived(ctx context.Context, tx bun.Tx, id string, at int64) error {
	result, err := tx.NewUpdate().Model((*hookRow)(nil)).Set("received_at = ?", at).Set("reveal = 0").Where("id = ?", id).Exec(ctx)
	n, err := affected(result, err, "marking a hook")
	if err == nil && n == 0 {
		return errNotFound
	}
	return err
}

// insertDelivery records a delivery and reports whether it is new.
func insertDelivery(ctx context.Context, tx bun.Tx, hookID, key string, at int64) (bool, error) {
	row := deliveryRow{HookID: hookID, Key: key, At: at}
	result, err := tx.NewInsert().Model(&row).On("CONFLICT (hook_id, key) DO NOTHING").Exec(ctx)
	n, err := affected(result, err, "recording a delivery")
	return n == 1, err
}

// deleteHook deletes a hook and the records of its deliveries.
func deleteHook(ctx context.Context, tx bun.Tx, h hookRow) error {
	if _, err := tx.NewDelete().Model(&h).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("deleting a hook: %w", err)
	}
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("hook_id = ?", h.ID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a hook's deliveries: %w", err)
	}
	return nil
}

// deleteHooksOf deletes the hooks of a connection and the records of their deliveries.
func deleteHooksOf(ctx context.Context, tx bun.Tx, connectionID string) error {
	hooks := tx.NewSelect().Model((*hookRow)(nil)).Column("id").Where("connection_id = ?", connectionID)
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("hook_id IN (?)", hooks).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a connection's deliveries: %w", err)
	}
	if _, err := tx.NewDelete().Model((*hookRow)(nil)).Where("connection_id = ?", connectionID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a connection's hooks: %w", err)
	}
	return nil
}

// deleteDeliveriesBefore deletes records of deliveries from before a time, and returns how many it deleted: about limit, and
// less only if there are no more. Records with the same time as the last one are deleted too.
func deleteDeliveriesBefore(ctx context.Context, tx bun.Tx, before, limit int64) (int64, error) {
	var rows []deliveryRow
	if err := tx.NewSelect().Model(&rows).Where("at < ?", before).Order("at").Limit(limit).Scan(ctx); err != nil {
		return 0, fmt.Errorf("reading old deliveries: %w", err)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	last := rows[len(rows)-1].At
	result, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("at <= ?", last).Where("at < ?", before).Exec(ctx)
	return affected(result, err, "deleting old deliveries")
}
