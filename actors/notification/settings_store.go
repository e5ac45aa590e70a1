package notification

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// settingsRow are a user's settings as JSON.
type settingsRow struct {
	bun.BaseModel `bun:"table:notification_settings"`

	UserID    string `bun:"user_id,pk"`
	Settings  string `bun:"settings"`
	UpdatedAt int64  `bun:"updated_at"`
	// Version counts the changes, from 1.
	Version int64 `bun:"version"`
}

// preferences returns a user's settings; those of a user without any are all absent, and their version is 0.
func (s store) preferences(ctx context.Context, userID string) (preferences, error) {
	var row settingsRow
	err := s.db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return preferences{subjects.NotificationSettings{Version: new(int64)}}, nil
	}
	if err != nil {
		return preferences{}, fmt.Errorf("reading notification settings: %w", err)
	}
	var p preferences
	if err := json.Unmarshal([]byte(row.Settings), &p.NotificationSettings); err != nil {
		return p, fmt.Errorf("decoding notification settings: %w", err)
	}
	p.UpdatedAt, p.Version = actors.OptionalTime(row.UpdatedAt), &row.Version
	return p, nil
}

// putPreferences replaces a user's settings of a version by the next one; ErrPreconditionFailed if they have another.
func (store) putPreferences(ctx context.Context, tx bun.Tx, userID string, s subjects.NotificationSettings, version int64, now time.Time) error {
	s.UpdatedAt, s.Version = nil, nil
	encoded, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding notification settings: %w", err)
	}
	row := settingsRow{UserID: userID, Settings: string(encoded), UpdatedAt: now.UnixMicro(), Version: version + 1}
	result, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO UPDATE").Set("settings = EXCLUDED.settings").
		Set("updated_at = EXCLUDED.updated_at").Set("version = EXCLUDED.version").
		Where("?TableAlias.version = ?", version).Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("storing notification settings: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, subjects.ErrPreconditionFailed)
	}
	return nil
}
