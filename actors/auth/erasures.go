package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// Rounds of an erasure. Every actor deletes the user's data at the deletion, and again when no call that began before
// the deletion can still write.
const (
	erasureFirst = 1
	erasureLast  = 2
)

const (
	// erasureBatch is the maximum number of erasures advanced in one pass.
	erasureBatch = 100
	// farewellRetention is how long the address of a deleted account is kept, to deliver the farewell message.
	farewellRetention = time.Hour
)

// erasures deletes accounts and coordinates the deletion of their data by the other actors.
type erasures struct {
	actors.Deps

	config   Config
	mailer   *mailer
	recorder *recorder
}

// begin deletes an account, sends a farewell message and tells the other actors, in one transaction. The stream AUDIT
// keeps only the user's ID, which then refers to no person.
func (e *erasures) begin(ctx context.Context, tx database.Tx, u user, row erasureRow) error {
	if err := e.recorder.audit(ctx, tx, auditEntry{action: auditDelete, outcome: auditSuccess, userID: u.ID}); err != nil {
		return err
	}
	items, messages, err := deleteUserData(ctx, tx, u.ID)
	if err != nil {
		return err
	}
	row.Aliases, row.RequestedAt = strings.Join(messages, " "), e.Now().UnixMicro()
	row.ToldAt = row.RequestedAt
	if err := addErasure(ctx, tx, row); err != nil {
		return err
	}
	err = addErasureAnswer(ctx, tx, erasureAnswerRow{ErasureID: row.ID, Actor: "auth", Round: row.Round, Items: items, At: row.RequestedAt})
	if err != nil {
		return err
	}
	farewell := message{UserID: row.ID, Email: u.Email, Purpose: purposeNotice, ExpiresAt: e.Now().UTC().Add(farewellRetention - messageRetention)}
	if err := e.mailer.send(ctx, tx, farewell, accountDeletedText); err != nil {
		return err
	}
	return e.publish(ctx, tx, row)
}

func (e *erasures) publish(ctx context.Context, tx database.Tx, row erasureRow) error {
	return publish(ctx, e.recorder, tx, subjects.AccountDeleted, row.UserID, subjects.AccountDeletion{
		ErasureID: row.ID, UserID: row.UserID, Round: row.Round, Aliases: strings.Fields(row.Aliases),
	})
}

// recordAnswer records that an actor has deleted the user's data. The last answer of the first round marks the user
// erased. The last answer of the second settles the erasure: auth deletes what the user may have written since, and the
// erasure forgets the user's ID. The error is CodeInvalid if the actor takes no part in erasures.
func (e *erasures) recordAnswer(ctx context.Context, answer subjects.Erasure) error {
	if !slices.Contains(subjects.ErasingActors(), answer.Actor) {
		return subjects.Errorf(subjects.CodeInvalid, "%q takes no part in erasures", answer.Actor)
	}
	return e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		row, err := lockErasure(ctx, tx, answer.ErasureID)
		if err != nil || row.Round != answer.Round || row.SettledAt != 0 {
			return err
		}
		now := e.Now().UnixMicro()
		err = addErasureAnswer(ctx, tx, erasureAnswerRow{
			ErasureID: row.ID, Actor: answer.Actor, Round: answer.Round, Items: answer.Items, At: now,
		})
		if err != nil {
			return err
		}
		answers, err := erasureAnswers(ctx, tx, row.ID)
		if err != nil || !row.complete(answers) {
			return err
		}
		if row.Round == erasureFirst {
			row.ErasedAt = now
			return saveErasure(ctx, tx, row)
		}
		if _, _, err := deleteUserData(ctx, tx, row.UserID); err != nil {
			return err
		}
		row.SettledAt, row.UserID, row.Aliases = now, "", ""
		return saveErasure(ctx, tx, row)
	})
}

// run repeats unanswered deletions and starts the second rounds, until ctx ends.
func (e *erasures) run(ctx context.Context) error {
	every := min(e.config.ErasureSettle, e.config.ErasureRetry, time.Minute) / 2
	return repeat(ctx, max(every, 50*time.Millisecond), e.advance)
}

// advance publishes again the deletions that lack an answer after Config.ErasureRetry, and starts the second round of
// those requested Config.ErasureSettle ago.
func (e *erasures) advance(ctx context.Context) error {
	now := e.Now()
	told, settle := now.Add(-e.config.ErasureRetry), now.Add(-e.config.ErasureSettle)
	open, err := openErasures(ctx, e.DB.DB, told, settle, erasureBatch)
	if err != nil {
		return err
	}
	for _, found := range open {
		err := e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			row, err := lockErasure(ctx, tx, found.ID)
			// If the row changed, another copy of the actor was faster.
			if err != nil || row.ToldAt != found.ToldAt || row.Round != found.Round || row.SettledAt != 0 {
				return err
			}
			if row.ErasedAt != 0 {
				row.Round = erasureLast
			}
			row.ToldAt = now.UnixMicro()
			if err := saveErasure(ctx, tx, row); err != nil {
				return err
			}
			return e.publish(ctx, tx, row)
		})
		if err != nil {
			return fmt.Errorf("advancing an erasure: %w", err)
		}
	}
	return nil
}
