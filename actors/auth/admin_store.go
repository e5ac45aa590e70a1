package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// likeEscaper escapes text for a LIKE pattern with the escape character '!'.
var likeEscaper = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// listUsers returns up to most accounts whose address starts with prefix, the newest first, with IDs less than before
// (any if empty).
func listUsers(ctx context.Context, db bun.IDB, prefix, before string, most int) ([]user, error) {
	var rows []userRow
	query := db.NewSelect().Model(&rows).Order("id DESC").Limit(int64(most))
	if prefix != "" {
		query = query.Where("email LIKE ? ESCAPE '!'", likeEscaper.Replace(strings.ToLower(prefix))+"%")
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

// disabledUsers returns the IDs of the disabled accounts.
func disabledUsers(ctx context.Context, db bun.IDB) ([]string, error) {
	var ids []string
	if err := db.NewSelect().Model((*userRow)(nil)).Column("id").Where("disabled").Scan(ctx, &ids); err != nil {
		return nil, fmt.Errorf("listing disabled accounts: %w", err)
	}
	return ids, nil
}

// incrementEpochs starts the next epoch of every account.
func incrementEpochs(ctx context.Context, tx bun.Tx, now time.Time) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("epoch = epoch + 1, updated_at = ?", now.UnixMicro()).Where("1 = 1").Exec(ctx)
	if err != nil {
		return fmt.Errorf("incrementing the epochs of all accounts: %w", err)
	}
	return nil
}

const otherAdminsCondition = "' ' || roles || ' ' LIKE '% admin %' AND NOT disabled AND id <> ?"

// countOtherAdmins returns the number of enabled admins other than the account with the ID.
func countOtherAdmins(ctx context.Context, db bun.IDB, id string) (int64, error) {
	n, err := db.NewSelect().Model((*userRow)(nil)).Where(otherAdminsCondition, id).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting admins: %w", err)
	}
	return n, nil
}

// lockOtherAdmins is countOtherAdmins that also locks their rows until the transaction ends.
func lockOtherAdmins(ctx context.Context, tx bun.Tx, id string) (int64, error) {
	done, err := tx.NewUpdate().Model((*userRow)(nil)).Set("updated_at = updated_at").
		Where(otherAdminsCondition, id).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting admins: %w", err)
	}
	return done.RowsAffected()
}
