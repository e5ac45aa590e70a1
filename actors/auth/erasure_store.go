package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
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
	PublishedAt int64
	ErasedAt    int64
	SettledAt   int64
}

type erasureAnswerRow struct {
	bun.BaseModel `bun:"table:erasure_answers"`

	ErasureID string `bun:",pk"`
	Actor     string `bun:",pk"`
	Round     int    `bun:",pk"`
	Items     int64
	// At is 0 in auth's own answer until the account's sessions have ended everywhere.
	At int64
}

// deleteUserData deletes everything that auth stores of a user. It returns the number of deleted rows and the IDs of
// the user's messages.
func deleteUserData(ctx context.Context, tx bun.Tx, userID string) (items int64, messages []string, err error) {
	if err := tx.NewSelect().Model((*messageRow)(nil)).Column("id").Where("user_id = ?", userID).Scan(ctx, &messages); err != nil {
		return 0, nil, fmt.Errorf("reading the e-mail messages of a user: %w", err)
	}
	for _, model := range []any{
		(*auditRow)(nil), (*messageRow)(nil), (*apiKeyRow)(nil), (*totpRow)(nil), (*recoveryRow)(nil), (*identityRow)(nil),
		(*passkeyRow)(nil),
	} {
		done, err := tx.NewDelete().Model(model).Where("user_id = ?", userID).Exec(ctx)
		if err != nil {
			return 0, nil, fmt.Errorf("deleting the data of a user: %w", err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return 0, nil, fmt.Errorf("deleting the data of a user: %w", err)
		}
		items += n
	}
	done, err := tx.NewDelete().Model((*userRow)(nil)).Where("id = ?", userID).Exec(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("deleting the data of a user: %w", err)
	}
	n, err := done.RowsAffected()
	return items + n, messages, err
}

func addErasure(ctx context.Context, tx bun.Tx, row erasureRow) error {
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding an erasure: %w", err)
	}
	return nil
}

// erasureByID returns an erasure; errNoErasure if there is none.
func erasureByID(ctx context.Context, db bun.IDB, id string) (erasureRow, error) {
	var row erasureRow
	err := db.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if err := database.OneRow(err, "reading an erasure", errNoErasure); err != nil {
		return erasureRow{}, err
	}
	return row, nil
}

var errNoErasure = subjects.Errorf(subjects.CodeNotFound, "there is no such erasure")

// lockErasure returns an erasure and locks its row until the transaction ends.
func lockErasure(ctx context.Context, tx bun.Tx, id string) (erasureRow, error) {
	if _, err := tx.NewUpdate().Model((*erasureRow)(nil)).Set("published_at = published_at").Where("id = ?", id).Exec(ctx); err != nil {
		return erasureRow{}, fmt.Errorf("locking an erasure: %w", err)
	}
	return erasureByID(ctx, tx, id)
}

func saveErasure(ctx context.Context, tx bun.Tx, row erasureRow) error {
	_, err := tx.NewUpdate().Model(&row).Column("user_id", "aliases", "round", "published_at", "erased_at", "settled_at").
		WherePK().Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("saving an erasure: %w", err)
	}
	return nil
}

// addErasureAnswer adds an actor's answer, or completes one without a time. Repeated answers of a round are ignored.
func addErasureAnswer(ctx context.Context, tx bun.Tx, row erasureAnswerRow) error {
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (erasure_id, actor, round) DO UPDATE").Set("at = EXCLUDED.at").
		Where("?TableAlias.at = 0").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("adding an answer to an erasure: %w", err)
	}
	return nil
}

// erasureAnswers returns an erasure's answers, by round.
func erasureAnswers(ctx context.Context, db bun.IDB, id string) ([]erasureAnswerRow, error) {
	var rows []erasureAnswerRow
	err := db.NewSelect().Model(&rows).Where("erasure_id = ?", id).Order("round", "actor").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the answers to an erasure: %w", err)
	}
	return rows, nil
}

// unconfirmedErasures returns up to most erasures whose first round auth itself has not confirmed.
func unconfirmedErasures(ctx context.Context, db bun.IDB, most int) ([]erasureRow, error) {
	var rows []erasureRow
	open := db.NewSelect().Model((*erasureAnswerRow)(nil)).Column("erasure_id").Where("at = 0 AND actor = ?", erasureAuth)
	if err := db.NewSelect().Model(&rows).Where("settled_at = 0 AND id IN (?)", open).Limit(int64(most)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing erasures: %w", err)
	}
	return rows, nil
}

// hasOpenErasure reports whether an erasure of a user's data has not settled.
func hasOpenErasure(ctx context.Context, db bun.IDB, userID string) (bool, error) {
	found, err := db.NewSelect().Model((*erasureRow)(nil)).Where("settled_at = 0 AND user_id = ?", userID).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for an erasure: %w", err)
	}
	return found, nil
}

// forgetErasure removes the reference to a settled erasure from the account that replaced the erased one.
func forgetErasure(ctx context.Context, tx bun.Tx, erasureID string) error {
	_, err := tx.NewUpdate().Model((*userRow)(nil)).Set("erasure_id = ''").Where("erasure_id <> '' AND erasure_id = ?", erasureID).Exec(ctx)
	if err != nil {
		return fmt.Errorf("removing the reference to an erasure: %w", err)
	}
	return nil
}

// openErasures returns up to most erasures that are due: those that wait for answers and were last published
// before publishedBefore, and those that wait for their second round and were requested before requestedBefore.
func openErasures(ctx context.Context, db bun.IDB, publishedBefore, requestedBefore time.Time, most int) ([]erasureRow, error) {
	var rows []erasureRow
	err := db.NewSelect().Model(&rows).Where("settled_at = 0").
		Where("(round = 2 OR erased_at = 0) AND published_at < ? OR round = 1 AND erased_at > 0 AND requested_at < ?",
			publishedBefore.UnixMicro(), requestedBefore.UnixMicro()).
		Order("published_at").Limit(int64(most)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing erasures: %w", err)
	}
	return rows, nil
}
