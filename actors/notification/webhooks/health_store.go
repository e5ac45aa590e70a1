package webhooks

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// webhookHealthRow is what deliveries and events have made of a webhook. Times are microseconds since the Unix epoch, 0 for none.
type webhookHealthRow struct {
	bun.BaseModel `bun:"table:webhook_health"`

	WebhookID    string `bun:"webhook_id,pk"`
	UserID       string `bun:"user_id"`
	FailingSince int64  `bun:"failing_since"`
	// Warnings counts the warnings since FailingSince, WarnedAt is the time of the last one.
	Warnings           int    `bun:"warnings"`
	WarnedAt           int64  `bun:"warned_at"`
	LastSuccessAt      int64  `bun:"last_success_at"`
	LastError          string `bun:"last_error"`
	ConditionErrors    int64  `bun:"condition_errors"`
	LastConditionError string `bun:"last_condition_error"`
	Dropped            int64  `bun:"dropped"`
}

// health returns the health of webhooks by id.
func (s webhookStore) health(ctx context.Context, ids []string) (map[string]webhookHealthRow, error) {
	byID := make(map[string]webhookHealthRow, len(ids))
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []webhookHealthRow
	if err := s.db.NewSelect().Model(&rows).Where("webhook_id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the health of webhooks: %w", err)
	}
	for _, row := range rows {
		byID[row.WebhookID] = row
	}
	return byID, nil
}

// recordHealth stores what deliveries have changed. A webhook that is deleted has none.
func (webhookStore) recordHealth(ctx context.Context, tx bun.Tx, row webhookHealthRow) error {
	_, err := tx.NewUpdate().Model(&row).
		Column("failing_since", "warnings", "warned_at", "last_success_at", "last_error").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("recording the health of a webhook: %w", err)
	}
	return nil
}

// clearFailures makes a webhook count as one that has not failed.
func (webhookStore) clearFailures(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*webhookHealthRow)(nil)).Set("failing_since = 0, warnings = 0, warned_at = 0").Where("webhook_id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("clearing a webhook's failures: %w", err)
	}
	return nil
}

// clearConditionErrors forgets the errors of a condition that is replaced.
func (webhookStore) clearConditionErrors(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.NewUpdate().Model((*webhookHealthRow)(nil)).Set("condition_errors = 0, last_condition_error = ''").Where("webhook_id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("clearing a webhook's condition errors: %w", err)
	}
	return nil
}

// countConditionError counts an event whose condition failed.
func (webhookStore) countConditionError(ctx context.Context, tx bun.Tx, id, text string) error {
	_, err := tx.NewUpdate().Model((*webhookHealthRow)(nil)).Set("condition_errors = condition_errors + 1").Set("last_condition_error = ?", text).
		Where("webhook_id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("counting a webhook's condition error: %w", err)
	}
	return nil
}

// countDropped counts events that were not stored for some webhooks.
func (webhookStore) countDropped(ctx context.Context, tx bun.Tx, ids []string) error {
	_, err := tx.NewUpdate().Model((*webhookHealthRow)(nil)).Set("dropped = dropped + 1").Where("webhook_id IN (?)", bun.List(ids)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("counting dropped events: %w", err)
	}
	return nil
}
