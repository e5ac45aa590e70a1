package consent

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// gpcRow is the standing directive of an account.
type gpcRow struct {
	bun.BaseModel `bun:"table:consent_gpc"`

	UserID string `bun:"user_id,pk"`
	Region string `bun:"region"`
	Since  int64  `bun:"since"`
	// Applied says that guards deny what the directive suppresses.
	Applied bool `bun:"applied"`
}

var errNoDirective = subjects.Errorf(subjects.CodeNotFound, "the account has no directive")

// directive returns the directive of an account, or errNoDirective.
func (s store) directive(ctx context.Context, userID string) (gpcRow, error) {
	var row gpcRow
	err := s.db.NewSelect().Model(&row).Where("user_id = ?", userID).Scan(ctx)
	return row, database.OneRow(err, "reading a directive", errNoDirective)
}

// addDirective adds a directive unless the account has one, of which it completes the region.
func (store) addDirective(ctx context.Context, tx bun.Tx, row gpcRow) error {
	if _, err := tx.NewInsert().Model(&row).On("CONFLICT (user_id) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding a directive: %w", err)
	}
	_, err := tx.NewUpdate().Model(&row).Column("region").WherePK().Where("region = ''").Exec(ctx)
	if err != nil {
		return fmt.Errorf("completing a directive: %w", err)
	}
	return nil
}

// applyDirective records that guards deny what a directive suppresses.
func (store) applyDirective(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewUpdate().Model((*gpcRow)(nil)).Set("applied = ?", true).Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("recording a directive: %w", err)
	}
	return nil
}

// deleteDirective deletes an account's directive.
func (store) deleteDirective(ctx context.Context, tx bun.Tx, userID string) error {
	if _, err := tx.NewDelete().Model((*gpcRow)(nil)).Where("user_id = ?", userID).Exec(ctx); err != nil {
		return fmt.Errorf("deleting a directive: %w", err)
	}
	return nil
}

// unappliedDirectives returns accounts whose directives a crash has left unapplied, in the order of their ids.
func (s store) unappliedDirectives(ctx context.Context, after string, limit int) (users []string, err error) {
	err = s.db.NewSelect().Model((*gpcRow)(nil)).Column("user_id").Where("applied = ?", false).Where("user_id > ?", after).
		Order("user_id").Limit(int64(limit)).Scan(ctx, &users)
	if err != nil {
		return nil, fmt.Errorf("looking for directives: %w", err)
	}
	return users, nil
}

// directed returns which of some users have a directive.
func (s store) directed(ctx context.Context, userIDs []string) (map[string]bool, error) {
	directed := map[string]bool{}
	if len(userIDs) == 0 {
		return directed, nil
	}
	var found []string
	err := s.db.NewSelect().Model((*gpcRow)(nil)).Column("user_id").Where("user_id IN (?)", bun.List(userIDs)).Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("looking for the directives of users: %w", err)
	}
	for _, id := range found {
		directed[id] = true
	}
	return directed, nil
}

// unsuppressed returns a user's active consents to some scopes that were given without knowledge of the directive.
func (s store) unsuppressed(ctx context.Context, userID string, scopes []string) ([]consentRow, error) {
	return s.activeIn(ctx, userID, scopes, func(q *bun.SelectQuery) { q.Where("gpc_conflict = ?", false) })
}

// optedIn returns a user's consents to some scopes that are in force although the user's directive opts out.
func (s store) optedIn(ctx context.Context, userID string, scopes []string, now time.Time) ([]consentRow, error) {
	return s.activeIn(ctx, userID, scopes, func(q *bun.SelectQuery) {
		q.Where("gpc_conflict = ?", true).Where("renewal_at = 0").Where("expires_at > ?", now.UnixMicro())
	})
}

func (s store) activeIn(ctx context.Context, userID string, scopes []string, where func(*bun.SelectQuery)) ([]consentRow, error) {
	var rows []consentRow
	if len(scopes) == 0 {
		return nil, nil
	}
	q := s.db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("status = ?", subjects.ConsentActive).
		Where("scope IN (?)", bun.List(scopes)).Order("id")
	where(q)
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading consents to sale and sharing: %w", err)
	}
	return rows, nil
}
