package notification

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// getSettings answers with the caller's settings, defaults included.
func (a *Actor) getSettings(ctx context.Context, _ subjects.Empty) (subjects.NotificationSettings, error) {
	p, err := a.store.preferences(ctx, actors.CallerFrom(ctx).UserID)
	if err != nil {
		return subjects.NotificationSettings{}, err
	}
	return p.complete(), nil
}

// updateSettings replaces the caller's settings. They hold for what starts or is released afterwards.
func (a *Actor) updateSettings(ctx context.Context, s subjects.NotificationSettings) (subjects.NotificationSettings, error) {
	if err := checkSettings(s); err != nil {
		return subjects.NotificationSettings{}, err
	}
	now := a.Now()
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return a.store.putPreferences(ctx, tx, actors.CallerFrom(ctx).UserID, s, now)
	})
	s.UpdatedAt = optionalTime(now.UnixMicro())
	return preferences{s}.complete(), err
}
