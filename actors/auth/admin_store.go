package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// likeText makes text match itself in a LIKE with '!' as its escape.
var likeText = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// listUsers lists at most so many accounts, the newest first, older than the one with the id before (all where it is
// empty), whose address begins with prefix.
func listUsers(ctx context.Context, db bun.IDB, prefix, before string, most int) ([]user, error) {
	var rows []userRow
	query := db.NewSelect().Model(&rows).Order("id DESC").Limit(int64(most))
	if prefix != "" {
		query = query.Where("email LIKE ? ESCAPE '!'", likeText.Replace(strings.ToLower(prefix))+"%")
	}
	if before != "" {
		query = query.Where("id < ?", before)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	users := make([]user, 0, len(rows))
	for _, row := range rows {
		users = append(users, row.user())
	}
	return users, nil
}

// nextEpoch begins the next epoch of every account.
func nextEpoch(ctx context.Context, tx bun.Tx, now time.Time) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("epoch = epoch + 1, updated_at = ?", now.UnixMilli()).Where("1 = 1").Exec(ctx)
	if err != nil {
		return fmt.Errorf("ending everybody's sessions: %w", err)
	}
	return nil
}

const otherAdmins = "' ' || roles || ' ' LIKE '% admin %' AND NOT disabled AND id <> ?"

// countOtherAdmins counts the admins besides one account.
func countOtherAdmins(ctx context.Context, db bun.IDB, id string) (int64, error) {
	n, err := db.NewSelect().Model((*userRow)(nil)).Where(otherAdmins, id).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting admins: %w", err)
	}
	return n, nil
}

// lockOtherAdmins counts the admins besides one account, and keeps them what they are until the transaction ends.
func lockOtherAdmins(ctx context.Context, tx bun.Tx, id string) (int64, error) {
	done, err := tx.NewUpdate().Model((*userRow)(nil)).Set("updated_at = updated_at").
		Where(otherAdmins, id).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting admins: %w", err)
	}
	return done.RowsAffected()
}
