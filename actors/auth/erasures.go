package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// The rounds of an erasure. Every actor forgets the user at the deletion, and once more when nothing that had begun
// before it, and may have written since, can still be under way.
const (
	erasureFirst = 1
	erasureLast  = 2
)

const (
	// erasureBatch is how many erasures are looked after in one turn.
	erasureBatch = 100
	// goodbyeKept is how long the address that a deletion is confirmed to is kept for the mail's sake.
	goodbyeKept = time.Hour
)

// deleteAccount ends what the account could do before it is gone: first at every process, then in the record, and with
// that every other actor is told.
func (a *Actor) deleteAccount(ctx context.Context, req subjects.DeleteAccountRequest) (subjects.ErasureStarted, error) {
	u, err := a.proveOwner(ctx, req.Password)
	if err == nil {
		err = a.stepUpCode(ctx, u, req.Code)
	}
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	others, err := countOtherAdmins(ctx, a.DB.DB, u.ID)
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	if err := lastAdmin(u, user{}, others); err != nil {
		return subjects.ErasureStarted{}, err
	}
	if err := a.revokeKeyTokens(ctx, u.ID); err != nil {
		return subjects.ErasureStarted{}, err
	}
	var keys []apiKey
	token, hash := newLetterToken()
	row := erasureRow{ID: a.NewID(), UserID: u.ID, TokenHash: hash, Round: erasureFirst}
	err = a.replaceSessions(ctx, u, "", endDeleted, func(ctx context.Context, tx database.Tx, u user) (err error) {
		others, err := lockOtherAdmins(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if err := lastAdmin(u, user{}, others); err != nil {
			return err
		}
		if keys, err = userAPIKeys(ctx, tx, u.ID, "", maxAPIKeys); err != nil {
			return err
		}
		return a.erase(ctx, tx, u, row)
	})
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	ids := make([]string, 0, len(keys))
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	if err := a.revokeIDs(ctx, u.ID, ids...); err != nil {
		return subjects.ErasureStarted{}, err
	}
	a.metrics.deletions.Inc()
	return subjects.ErasureStarted{ErasureID: row.ID, Token: token, Status: "erasing"}, nil
}

// proveOwner has the caller prove that the account is theirs: by its password, or, where it has none, by a sign-in of
// just now.
func (a *Actor) proveOwner(ctx context.Context, password string) (user, error) {
	caller := actors.CallerFrom(ctx)
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return user{}, err
	}
	if u.PasswordHash == "" {
		return u, a.callerFresh(caller)
	}
	return a.stepUp(ctx, "password", password)
}

// erase forgets an account, says goodbye, and tells the other actors, as one commit. What the stream AUDIT keeps is the
// id alone, which nothing ties to a person from then on.
func (a *Actor) erase(ctx context.Context, tx database.Tx, u user, row erasureRow) error {
	if err := a.audit(ctx, tx, entry{action: auditDelete, outcome: auditSuccess, userID: u.ID}); err != nil {
		return err
	}
	items, letters, err := wipeUser(ctx, tx, u.ID)
	if err != nil {
		return err
	}
	row.Aliases, row.RequestedAt = strings.Join(letters, " "), a.Now().UnixMilli()
	row.ToldAt = row.RequestedAt
	if err := addErasure(ctx, tx, row); err != nil {
		return err
	}
	err = addErasureAnswer(ctx, tx, erasureAnswerRow{ErasureID: row.ID, Actor: "auth", Round: row.Round, Items: items, At: row.RequestedAt})
	if err != nil {
		return err
	}
	goodbye := letter{UserID: row.ID, Email: u.Email, Purpose: forNotice, ExpiresAt: a.Now().UTC().Add(goodbyeKept - letterKept)}
	if err := a.post(ctx, tx, goodbye, goodbyeText); err != nil {
		return err
	}
	return a.tellDeleted(ctx, tx, row)
}

func (a *Actor) tellDeleted(ctx context.Context, tx database.Tx, row erasureRow) error {
	return tell(ctx, a, tx, subjects.AccountDeleted, row.UserID, subjects.AccountDeletion{
		ErasureID: row.ID, UserID: row.UserID, Round: row.Round, Aliases: strings.Fields(row.Aliases),
	})
}

// noteErasure keeps an actor's answer. With the last one of a round the user is erased, or the erasure settled: then auth
// forgets its own second look's findings and whose account it was.
func (a *Actor) noteErasure(ctx context.Context, e subjects.Envelope[subjects.Erasure]) error {
	if !slices.Contains(subjects.ErasingActors(), e.Data.Actor) {
		return subjects.Errorf(subjects.CodeInvalid, "no erasure waits for %q", e.Data.Actor)
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		row, err := lockErasure(ctx, tx, e.Data.ErasureID)
		if err != nil || row.Round != e.Data.Round || row.SettledAt != 0 {
			return err
		}
		now := a.Now().UnixMilli()
		err = addErasureAnswer(ctx, tx, erasureAnswerRow{
			ErasureID: row.ID, Actor: e.Data.Actor, Round: e.Data.Round, Items: e.Data.Items, At: now,
		})
		if err != nil {
			return err
		}
		answers, err := erasureAnswers(ctx, tx, row.ID)
		if err != nil || !row.answered(answers) {
			return err
		}
		if row.Round == erasureFirst {
			row.ErasedAt = now
			return saveErasure(ctx, tx, row)
		}
		if _, _, err := wipeUser(ctx, tx, row.UserID); err != nil {
			return err
		}
		row.SettledAt, row.UserID, row.Aliases = now, "", ""
		return saveErasure(ctx, tx, row)
	})
}

// answered tells whether every actor has answered the erasure's round.
func (r erasureRow) answered(answers []erasureAnswerRow) bool {
	return !slices.ContainsFunc(subjects.ErasingActors(), func(actor string) bool {
		return !slices.ContainsFunc(answers, func(x erasureAnswerRow) bool { return x.Actor == actor && x.Round == r.Round })
	})
}

// getErasure answers whoever has the deletion's token.
func (a *Actor) getErasure(ctx context.Context, req subjects.ErasureRequest) (subjects.ErasureStatus, error) {
	row, err := erasureByID(ctx, a.DB.DB, req.ErasureID)
	if err == nil && row.TokenHash != hashToken(req.Token) {
		err = errNoErasure()
	}
	if err != nil {
		return subjects.ErasureStatus{}, err
	}
	answers, err := erasureAnswers(ctx, a.DB.DB, row.ID)
	if err != nil {
		return subjects.ErasureStatus{}, err
	}
	return row.status(answers), nil
}

func (r erasureRow) status(answers []erasureAnswerRow) subjects.ErasureStatus {
	s := subjects.ErasureStatus{
		ErasureID: r.ID, Status: "erasing", RequestedAt: time.UnixMilli(r.RequestedAt).UTC(),
		ErasedAt: moment(r.ErasedAt), SettledAt: moment(r.SettledAt),
	}
	if r.ErasedAt != 0 {
		s.Status = "erased"
	}
	for _, actor := range append([]string{"auth"}, subjects.ErasingActors()...) {
		of := subjects.ActorErasure{Actor: actor, Status: "pending"}
		for _, x := range answers {
			if x.Actor == actor {
				of.Status, of.Items, of.At = "erased", of.Items+x.Items, moment(x.At)
			}
		}
		s.Actors = append(s.Actors, of)
	}
	return s
}

// moment is a time of the store's; nil for not yet.
func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// runErasures tells of deletions again until every actor has answered, and begins their second rounds.
func (a *Actor) runErasures(ctx context.Context) error {
	every := min(a.config.ErasureSettle, a.config.ErasureRetry, time.Minute) / 2
	tick := time.NewTicker(max(every, 50*time.Millisecond))
	defer tick.Stop()
	for {
		if err := a.urgeErasures(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *Actor) urgeErasures(ctx context.Context) error {
	now := a.Now()
	told, settle := now.Add(-a.config.ErasureRetry), now.Add(-a.config.ErasureSettle)
	open, err := openErasures(ctx, a.DB.DB, told, settle, erasureBatch)
	if err != nil {
		return err
	}
	for _, found := range open {
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			row, err := lockErasure(ctx, tx, found.ID)
			// Another copy of the actor was first.
			if err != nil || row.ToldAt != found.ToldAt || row.Round != found.Round || row.SettledAt != 0 {
				return err
			}
			if row.ErasedAt != 0 {
				row.Round = erasureLast
			}
			row.ToldAt = now.UnixMilli()
			if err := saveErasure(ctx, tx, row); err != nil {
				return err
			}
			return a.tellDeleted(ctx, tx, row)
		})
		if err != nil {
			return fmt.Errorf("urging an erasure: %w", err)
		}
	}
	return nil
}
