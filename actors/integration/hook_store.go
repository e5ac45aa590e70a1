package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// hookRow is one hook. Times are microseconds since 1970, 0 for none.
type hookRow struct {
	bun.BaseModel `bun:"table:hooks"`

	ID           string `bun:"id,pk"`
	UserID       string `bun:"user_id"`
	ConnectionID string `bun:"connection_id"`
	Provider     string `bun:"provider"`
	Label        string `bun:"label"`
	// Secret and OldSecret are sealed; nil where there is none. OldSecret verifies until OldUntil.
	Secret    []byte `bun:"secret"`
	OldSecret []byte `bun:"old_secret"`
	OldUntil  int64  `bun:"old_until"`
	// OpenedAt is since when a handshake may bring the secret.
	OpenedAt int64 `bun:"opened_at"`
	// Reveal is 1 while the vendor asks the user for the secret that it sent.
	Reveal     int64 `bun:"reveal"`
	Version    int64 `bun:"version"`
	ReceivedAt int64 `bun:"received_at"`
	CreatedAt  int64 `bun:"created_at"`
	UpdatedAt  int64 `bun:"updated_at"`
}

func (h hookRow) oldUntil() time.Time { return time.UnixMicro(h.OldUntil).UTC() }

// deliveryRow says that a hook has seen something.
type deliveryRow struct {
	bun.BaseModel `bun:"table:hook_deliveries"`

	HookID string `bun:"hook_id,pk"`
	Key    string `bun:"key,pk"`
	At     int64  `bun:"at"`
}

// hookAt reads the hook of a provider's address, whoever asks; not_found where there is none.
func hookAt(ctx context.Context, db bun.IDB, provider, id string) (hookRow, error) {
	var h hookRow
	err := db.NewSelect().Model(&h).Where("id = ?", strings.ToLower(id)).Where("provider = ?", provider).Scan(ctx)
	return h, noHook(err)
}

// findHook reads one hook of a user's connection.
func findHook(ctx context.Context, db bun.IDB, userID, connectionID, id string) (hookRow, error) {
	var h hookRow
	err := db.NewSelect().Model(&h).Where("id = ?", strings.ToLower(id)).Where("connection_id = ?", strings.ToLower(connectionID)).
		Where("user_id = ?", userID).Scan(ctx)
	return h, noHook(err)
}

func noHook(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return subjects.Errorf(subjects.CodeNotFound, "there is no such hook")
	}
	if err != nil {
		return fmt.Errorf("reading a hook: %w", err)
	}
	return nil
}

// pageOfHooks reads a connection's hooks, newest first, after the given id; one more than asked.
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

// replaceHook writes a hook unless it has changed since version was read: then it is a conflict.
func replaceHook(ctx context.Context, tx bun.Tx, h *hookRow, version int64) error {
	result, err := tx.NewUpdate().Model(h).ExcludeColumn("id", "user_id", "connection_id", "provider", "created_at", "received_at").
		WherePK().Where("version = ?", version).Exec(ctx)
	if err != nil {
		return fmt.Errorf("updating a hook: %w", err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return subjects.Errorf(subjects.CodeConflict, "the hook was changed meanwhile")
	}
	return err
}

// touchHook notes that a delivery passed, and orders it among the hook's others; not_found where the hook is gone. What
// was revealed of its secret is so no more.
func touchHook(ctx context.Context, tx bun.Tx, id string, at int64) error {
	result, err := tx.NewUpdate().Model((*hookRow)(nil)).Set("received_at = ?", at).Set("reveal = 0").Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("noting a delivery: %w", err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return noHook(sql.ErrNoRows)
	}
	return err
}

// remember notes that a hook has seen something; it tells whether that was news.
func remember(ctx context.Context, tx bun.Tx, hookID, key string, at int64) (bool, error) {
	row := deliveryRow{HookID: hookID, Key: key, At: at}
	result, err := tx.NewInsert().Model(&row).On("CONFLICT (hook_id, key) DO NOTHING").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("remembering a delivery: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// deleteHook forgets a hook and what it has seen.
func deleteHook(ctx context.Context, tx bun.Tx, h hookRow) error {
	if _, err := tx.NewDelete().Model(&h).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("deleting a hook: %w", err)
	}
	if _, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("hook_id = ?", h.ID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a hook's deliveries: %w", err)
	}
	return nil
}

// deleteHooksOf forgets the hooks of a connection.
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

// dropOldDeliveries forgets at most so many deliveries from before a time; it tells how many there were.
func dropOldDeliveries(ctx context.Context, tx bun.Tx, before, most int64) (int64, error) {
	var rows []deliveryRow
	if err := tx.NewSelect().Model(&rows).Where("at < ?", before).Order("at").Limit(most).Scan(ctx); err != nil {
		return 0, fmt.Errorf("reading old deliveries: %w", err)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	last := rows[len(rows)-1].At
	result, err := tx.NewDelete().Model((*deliveryRow)(nil)).Where("at <= ?", last).Where("at < ?", before).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("deleting old deliveries: %w", err)
	}
	return result.RowsAffected()
}
