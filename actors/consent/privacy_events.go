package consent

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

const (
	// resolvedByUser is the resolution of a rectification that the user has made.
	resolvedByUser = "You have corrected the profile."
	// linkedWithin is how long after a request for erasure its erasure may be unknown.
	linkedWithin = time.Minute
	// resolvedByErasure is that of requests whose account was deleted.
	resolvedByErasure = "The account was deleted."
)

// link records that auth has started an erasure, which answers a locked request. Auth has erased its own data by then.
func (p *privacy) link(ctx context.Context, tx database.Tx, row privacyRow) error {
	if err := p.store.save(ctx, tx, row); err != nil {
		return err
	}
	return p.store.putActor(ctx, tx, privacyActorRow{RequestID: row.ID, Actor: "auth", At: p.Now().UnixMicro()})
}

// forget moves the requests of a deleted user to a pseudonym, without texts and files. What is kept is that there was a request, and that it was
// answered in time (GDPR Art. 5(2)).
func (p *privacy) forget(ctx context.Context, tx database.Tx, deletion subjects.AccountDeletion, pseudonym string) error {
	rows, err := p.store.ofUser(ctx, tx, deletion.UserID)
	if err != nil {
		return err
	}
	for _, row := range rows {
		now := p.Now().UnixMicro()
		linked := row.Kind == subjects.PrivacyErasure && row.Status == subjects.PrivacyInProgress
		if linked && row.ErasureID == "" {
			row.ErasureID = deletion.ErasureID
		}
		if !linked && row.Status == subjects.PrivacyInProgress {
			row.Status, row.EndedAt = subjects.PrivacyRejected, now
		}
		row.UserID, row.Fields, row.Note, row.ExtensionReason, row.Problem = pseudonym, []subjects.Rectification{}, "", "", ""
		row.Resolution, row.NextAt, row.FileKey, row.FileSHA256 = resolvedByErasure, 0, nil, ""
		if row.FileParts > 0 {
			row.FileExpiresAt = now
		}
		if err := p.store.save(ctx, tx, row); err != nil {
			return err
		}
		if linked {
			if err := p.link(ctx, tx, row); err != nil {
				return err
			}
		}
	}
	if len(rows) > 0 {
		p.DB.AfterCommit(ctx, p.wake.Notify)
	}
	return nil
}

// erasureConfirmed records that an actor has erased the data of a user who has requested that.
func (p *privacy) erasureConfirmed(ctx context.Context, e subjects.Envelope[subjects.Erasure]) error {
	return p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		rows, err := p.store.openErasures(ctx, tx, e.Data.ErasureID)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			// The request may not be linked with the erasure yet. What is missed all the same comes again in the second round.
			waiting, err := p.store.unlinked(ctx, tx, p.Now().Add(-linkedWithin))
			if err == nil && waiting {
				err = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "a request for erasure is not linked yet", RetryAfter: subjects.RetrySoon}
			}
			return err
		}
		for _, row := range rows {
			if err := p.confirm(ctx, tx, row.ID, e.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// confirm records an actor's confirmation, and ends the request with the last one.
func (p *privacy) confirm(ctx context.Context, tx database.Tx, id string, erasure subjects.Erasure) error {
	row, err := p.store.lock(ctx, tx, id)
	if err != nil || row.Status != subjects.PrivacyInProgress {
		return err
	}
	err = p.store.putActor(ctx, tx, privacyActorRow{RequestID: id, Actor: erasure.Actor, Items: erasure.Items, At: p.Now().UnixMicro()})
	if err != nil {
		return err
	}
	done, err := p.store.actorsOf(ctx, id)
	if err != nil || len(done[id]) < len(privacyActors()) {
		return err
	}
	_, err = p.end(ctx, tx, row, subjects.PrivacyCompleted, resolvedByErasure)
	return err
}

// profileChanged marks what a user has corrected of the fields that a request for rectification names, and ends it with the last one.
func (p *privacy) profileChanged(ctx context.Context, e subjects.Envelope[subjects.UserUpdated]) error {
	return p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		rows, err := p.store.rectifications(ctx, tx, e.Data.UserID)
		if err != nil {
			return err
		}
		for _, found := range rows {
			row, err := p.store.lock(ctx, tx, found.ID)
			if err != nil {
				return err
			}
			all, any := markCorrected(row.Fields, e.Data.Fields)
			switch {
			case row.Status != subjects.PrivacyInProgress || !any:
				continue
			case all:
				_, err = p.end(ctx, tx, row, subjects.PrivacyCompleted, resolvedByUser)
			default:
				err = p.store.save(ctx, tx, row)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
