package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/wait"
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
//
// The data of a user are erased by every actor in subjects.ErasingActors and by auth. That list is the only one: an actor or
// a table that joins it is covered by delete_account and by the takeover of an unverified account alike.
type erasures struct {
	actors.Deps

	config   Config
	recorder *recorder
	sessions *sessions
	blocks   *blocks
}

// erased is the result of the step that deletes an account.
type erased struct {
	ErasureID string `json:"erasure_id"`
	// Token lets its owner read the state of the erasure.
	Token string `json:"token"`
	// Successor is the ID of the account that replaces the erased one, if any.
	Successor string `json:"successor,omitempty"`
}

// erase deletes an account. First the account is blocked: no process starts anything for it, and none accepts its access
// tokens. Then its sessions end, and one step runs change, which must call begin. Afterwards the sessions of sign-ins in
// between end, and auth confirms its part of the erasure. If change fails, the account is unblocked. After a crash at any
// point the erasure is completed by run, or the block is removed by blocks.run.
func (e *erasures) erase(ctx context.Context, userID string, change func(context.Context, database.Tx, user) (erased, error)) (erased, error) {
	err := e.blocks.block(ctx, userID)
	if err == nil {
		err = e.sessions.endAll(ctx, userID, "", endDeleted)
	}
	var done erased
	if err == nil {
		done, err = idempotency.Step(ctx, e.DB, "change", func(ctx context.Context, tx database.Tx) (erased, error) {
			u, err := lockUser(ctx, tx, userID)
			if err != nil {
				return erased{}, err
			}
			return change(ctx, tx, u)
		})
	}
	if err != nil {
		e.blocks.releaseAfter(ctx, userID)
		return erased{}, err
	}
	return done, e.confirm(ctx, done.ErasureID, userID)
}

// begin deletes the account's data that auth has, and notifies the other actors. The stream AUDIT keeps only the user's ID,
// which then refers to no person.
func (e *erasures) begin(ctx context.Context, tx database.Tx, u user) (erased, error) {
	if err := e.recorder.audit(ctx, tx, auditEntry{action: auditDelete, outcome: auditSuccess, userID: u.ID}); err != nil {
		return erased{}, err
	}
	items, messages, err := deleteUserData(ctx, tx, u.ID)
	if err != nil {
		return erased{}, err
	}
	token, hash := newToken()
	now := e.Now().UnixMicro()
	row := erasureRow{
		ID: e.NewID(), UserID: u.ID, Aliases: strings.Join(messages, " "), TokenHash: hash, Round: erasureFirst, RequestedAt: now, PublishedAt: now,
	}
	if err := addErasure(ctx, tx, row); err != nil {
		return erased{}, err
	}
	err = addErasureAnswer(ctx, tx, erasureAnswerRow{ErasureID: row.ID, Actor: erasureAuth, Round: row.Round, Items: items})
	if err != nil {
		return erased{}, err
	}
	return erased{ErasureID: row.ID, Token: token}, e.publish(ctx, tx, row)
}

// confirm ends the sessions of sign-ins that were in progress when the account was deleted, and records that auth has erased
// its part.
func (e *erasures) confirm(ctx context.Context, erasureID, userID string) error {
	if err := e.blocks.block(ctx, userID); err != nil {
		return err
	}
	if err := e.sessions.endAll(ctx, userID, "", endDeleted); err != nil {
		return err
	}
	_, err := idempotency.Step(ctx, e.DB, "confirm", func(ctx context.Context, tx database.Tx) (struct{}, error) {
		return struct{}{}, e.addAnswer(ctx, tx, subjects.Erasure{ErasureID: erasureID, Actor: erasureAuth, Round: erasureFirst})
	})
	return err
}

func (e *erasures) publish(ctx context.Context, tx database.Tx, row erasureRow) error {
	return publish(ctx, e.recorder, tx, subjects.AccountDeleted, row.UserID, subjects.AccountDeletion{
		ErasureID: row.ID, UserID: row.UserID, Round: row.Round, Aliases: strings.Fields(row.Aliases),
	})
}

// recordAnswer records that an actor has deleted the user's data. The last answer of the first round marks the user
// erased, that of the second settles the erasure. The error is CodeInvalid if the actor takes no part in erasures.
func (e *erasures) recordAnswer(ctx context.Context, answer subjects.Erasure) error {
	if !slices.Contains(subjects.ErasingActors(), answer.Actor) {
		return subjects.Errorf(subjects.CodeInvalid, "%q takes no part in erasures", answer.Actor)
	}
	settled := false
	err := e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		e.DB.AfterCommit(ctx, func() { settled = answer.Round == erasureLast })
		return e.addAnswer(ctx, tx, answer)
	})
	if err != nil || !settled {
		return err
	}
	if err := e.Outbox.Settle(ctx); err != nil {
		return err
	}
	return e.DB.Scrub(ctx)
}

func (e *erasures) addAnswer(ctx context.Context, tx database.Tx, answer subjects.Erasure) error {
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
	if err != nil || row.ErasedAt != 0 && row.Round == erasureFirst || !row.complete(answers) {
		return err
	}
	if row.Round == erasureFirst {
		row.ErasedAt = now
		return saveErasure(ctx, tx, row)
	}
	return e.settle(ctx, tx, row, now)
}

// settle deletes what the user may have written to auth's tables since the deletion, and forgets the user's ID. The block of
// the account then ends by itself.
func (e *erasures) settle(ctx context.Context, tx database.Tx, row erasureRow, now int64) error {
	if _, _, err := deleteUserData(ctx, tx, row.UserID); err != nil {
		return err
	}
	if err := forgetErasure(ctx, tx, row.ID); err != nil {
		return err
	}
	if err := e.blocks.expire(ctx, row.UserID); err != nil {
		return err
	}
	row.SettledAt, row.UserID, row.Aliases = now, "", ""
	return saveErasure(ctx, tx, row)
}

// run confirms deletions that were interrupted, repeats unanswered ones and starts the second rounds, until ctx ends.
func (e *erasures) run(ctx context.Context) error {
	every := min(e.config.ErasureSettle, e.config.ErasureRetry, time.Minute) / 2
	return wait.Repeat(ctx, max(every, 50*time.Millisecond), func(ctx context.Context) error {
		return errors.Join(e.confirmInterrupted(ctx), e.advance(ctx))
	})
}

// confirmInterrupted completes auth's part of deletions whose process was killed, and of those made without NATS
// (CreateAdmin).
func (e *erasures) confirmInterrupted(ctx context.Context) error {
	rows, err := unconfirmedErasures(ctx, e.DB.DB, erasureBatch)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := e.confirm(ctx, row.ID, row.UserID); err != nil {
			return fmt.Errorf("confirming an erasure: %w", err)
		}
	}
	return nil
}

// advance publishes again the deletions that lack an answer after Config.ErasureRetry, and starts the second round of
// those requested Config.ErasureSettle ago.
func (e *erasures) advance(ctx context.Context) error {
	now := e.Now()
	publishedBefore, requestedBefore := now.Add(-e.config.ErasureRetry), now.Add(-e.config.ErasureSettle)
	open, err := openErasures(ctx, e.DB.DB, publishedBefore, requestedBefore, erasureBatch)
	if err != nil {
		return err
	}
	for _, found := range open {
		err := e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			row, err := lockErasure(ctx, tx, found.ID)
			// If the row changed, another copy of the actor was faster.
			if err != nil || row.PublishedAt != found.PublishedAt || row.Round != found.Round || row.SettledAt != 0 {
				return err
			}
			if row.ErasedAt != 0 {
				row.Round = erasureLast
			}
			row.PublishedAt = now.UnixMicro()
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
