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
}

// preferences returns a user's settings; those of a user without any are all absent.
func (s store) preferences(ctx context.Context, userID string) (preferences, error) {
	var row settingsRow
	err := s.db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return preferences{}, nil
	}
	if err != nil {
		return preferences{}, fmt.Errorf("reading notification settings: %w", err)
	}
	var p preferences
	if err := json.Unmarshal([]byte(row.Settings), &p.NotificationSettings); err != nil {
		return p, fmt.Errorf("decoding notification settings: %w", err)
	}
	p.UpdatedAt = actors.OptionalTime(row.UpdatedAt)
	return p, nil
}

// putPreferences replaces a user's settings.
func (store) putPreferences(ctx context.Context, tx bun.Tx, userID string, s subjects.NotificationSettings, now time.Time) error {
	s.UpdatedAt = nil
	encoded, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding notification settings: %w", err)
	}
	row := settingsRow{UserID: userID, Settings: string(encoded), UpdatedAt: now.UnixMicro()}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO UPDATE").Set("settings = EXCLUDED.settings").
		Set("updated_at = EXCLUDED.updated_at").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("storing notification settings: %w", err)
	}
	return nil
}
