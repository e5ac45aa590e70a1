package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

type erasureRow struct {
	bun.BaseModel `bun:"table:erasures"`

	ID          string `bun:",pk"`
	UserID      string
	Aliases     string
	TokenHash   string
	Round       int
	RequestedAt int64
	ToldAt      int64
	ErasedAt    int64
	SettledAt   int64
}

type erasureAnswerRow struct {
	bun.BaseModel `bun:"table:erasure_answers"`

	ErasureID string `bun:",pk"`
	Actor     string `bun:",pk"`
	Round     int    `bun:",pk"`
	Items     int64
	At        int64
}

// wipeUser deletes everything that auth holds of a user, and tells how much that was and the ids of the user's letters.
func wipeUser(ctx context.Context, tx bun.Tx, userID string) (items int64, letters []string, err error) {
	if err := tx.NewSelect().Model((*letterRow)(nil)).Column("id").Where("user_id = ?", userID).Scan(ctx, &letters); err != nil {
		return 0, nil, fmt.Errorf("reading a user's letters: %w", err)
	}
	for _, model := range []any{
		(*auditRow)(nil), (*letterRow)(nil), (*apiKeyRow)(nil), (*totpRow)(nil), (*recoveryRow)(nil), (*identityRow)(nil),
		(*passkeyRow)(nil),
	} {
		done, err := tx.NewDelete().Model(model).Where("user_id = ?", userID).Exec(ctx)
		if err != nil {
			return 0, nil, fmt.Errorf("wiping a user: %w", err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return 0, nil, fmt.Errorf("wiping a user: %w", err)
		}
		items += n
	}
	done, err := tx.NewDelete().Model((*userRow)(nil)).Where("id = ?", userID).Exec(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("wiping a user: %w", err)
	}
	n, err := done.RowsAffected()
	return items + n, letters, err
}

func addErasure(ctx context.Context, tx bun.Tx, row erasureRow) error {
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding an erasure: %w", err)
	}
	return nil
}

// erasureByID finds an erasure; CodeNotFound where there is none.
func erasureByID(ctx context.Context, db bun.IDB, id string) (erasureRow, error) {
	var row erasureRow
	err := db.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, errNoErasure()
	}
	if err != nil {
		return row, fmt.Errorf("reading an erasure: %w", err)
	}
	return row, nil
}

func errNoErasure() error { return subjects.Errorf(subjects.CodeNotFound, "there is no such erasure") }

// lockErasure reads an erasure and keeps others from changing it until the transaction ends.
func lockErasure(ctx context.Context, tx bun.Tx, id string) (erasureRow, error) {
	if _, err := tx.NewUpdate().Model((*erasureRow)(nil)).Set("told_at = told_at").Where("id = ?", id).Exec(ctx); err != nil {
		return erasureRow{}, fmt.Errorf("locking an erasure: %w", err)
	}
	return erasureByID(ctx, tx, id)
}

func saveErasure(ctx context.Context, tx bun.Tx, row erasureRow) error {
	_, err := tx.NewUpdate().Model(&row).Column("user_id", "aliases", "round", "told_at", "erased_at", "settled_at").
		WherePK().Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving an erasure: %w", err)
	}
	return nil
}

// addErasureAnswer keeps an actor's first answer of a round.
func addErasureAnswer(ctx context.Context, tx bun.Tx, row erasureAnswerRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (erasure_id, actor, round) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("keeping an answer: %w", err)
	}
	return nil
}

// erasureAnswers lists an erasure's answers, the first round's first.
func erasureAnswers(ctx context.Context, db bun.IDB, id string) ([]erasureAnswerRow, error) {
	var rows []erasureAnswerRow
	err := db.NewSelect().Model(&rows).Where("erasure_id = ?", id).Order("round", "actor").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading answers: %w", err)
	}
	return rows, nil
}

// openErasures lists at most so many erasures that wait for answers and were told of before a moment, or that wait to be
// settled and were asked for before another.
func openErasures(ctx context.Context, db bun.IDB, told, settle time.Time, most int) ([]erasureRow, error) {
	var rows []erasureRow
	err := db.NewSelect().Model(&rows).Where("settled_at = 0").
		Where("(round = 2 OR erased_at = 0) AND told_at < ? OR round = 1 AND erased_at > 0 AND requested_at < ?",
			told.UnixMilli(), settle.UnixMilli()).
		Order("told_at").Limit(int64(most)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing erasures: %w", err)
	}
	return rows, nil
}
