package notification

import (
	"context"
	"strconv"

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
func (a *Actor) updateSettings(ctx context.Context, r subjects.UpdateNotificationSettingsRequest) (subjects.NotificationSettings, error) {
	s := r.NotificationSettings
	if err := checkSettings(s); err != nil {
		return subjects.NotificationSettings{}, err
	}
	now := a.Now()
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		userID := actors.CallerFrom(ctx).UserID
		if err := a.store.lock(ctx, tx, "settings "+userID); err != nil {
			return err
		}
		old, err := a.store.preferences(ctx, userID)
		if err != nil {
			return err
		}
		if err := r.Check(strconv.FormatInt(*old.Version, 10)); err != nil {
			return err
		}
		next := *old.Version + 1
		s.Version = &next
		return a.store.putPreferences(ctx, tx, userID, s, *old.Version, now)
	})
	s.UpdatedAt = actors.OptionalTime(now.UnixMicro())
	return preferences{s}.complete(), err
}

// switchOff switches a category off on a channel in a user's settings, as the user has asked to by a link.
func (a *Actor) switchOff(ctx context.Context, tx database.Tx, userID, category, ch string) error {
	if err := a.store.lock(ctx, tx, "settings "+userID); err != nil {
		return err
	}
	p, err := a.store.preferences(ctx, userID)
	if err != nil {
		return err
	}
	if p.of(category, ch).Mode == subjects.PreferenceOff {
		return nil
	}
	set := categoryOf(&p.Categories, category)
	if *set == nil {
		*set = &subjects.ChannelPreferences{}
	}
	*channelOf(*set, ch) = &subjects.ChannelPreference{Mode: subjects.PreferenceOff}
	return a.store.putPreferences(ctx, tx, userID, p.NotificationSettings, *p.Version, a.Now())
}
