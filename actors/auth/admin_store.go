package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

const lastCharacter = "\U0010FFFF" // follows every character that an address has

// listUsers returns up to most accounts, the newest first, with IDs less than after (any if empty). With a prefix it returns those whose
// addresses start with it, by address, with addresses after after. SQLite would seek only one of two lower bounds.
func listUsers(ctx context.Context, db bun.IDB, prefix, after string, most int) ([]user, error) {
	var rows []userRow
	query := db.NewSelect().Model(&rows).Limit(int64(most))
	switch {
	case prefix != "" && after >= prefix:
		query.Where("email > ? AND email < ?", after, prefix+lastCharacter).Order("email")
	case prefix != "":
		query.Where("email >= ? AND email < ?", prefix, prefix+lastCharacter).Order("email")
	case after != "":
		query.Where("id < ?", after).Order("id DESC")
	default:
		query.Order("id DESC")
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
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("epoch = epoch + 1, version = version + 1, updated_at = ?", now.UnixMicro()).Where("1 = 1").Exec(ctx)
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
