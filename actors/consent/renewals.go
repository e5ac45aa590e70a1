package consent

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// renewalBatch is how many consents are marked in a transaction.
	renewalBatch = 200
	// renewalClaim is how long a process may be silent that marks consents before another one takes over.
	renewalClaim = 30 * time.Second
	// renewalPoll is the interval at which every process looks for consents to mark.
	renewalPoll = 5 * time.Second
)

// renewer marks the consents that material changes of notices ask to be renewed.
type renewer struct{ *Actor }

// runRenewals marks the consents that material changes of notices ask to be renewed, until ctx ends. Any number of processes may run it: a
// claim in the database keeps them from the same notice. What a process leaves when it is killed, another one or its successor continues
// from the last batch that was committed.
func (a renewer) runRenewals(ctx context.Context) error {
	for {
		for {
			worked, err := a.renewSome(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				a.Log.Warn("marking consents for renewal has failed; it is tried again", zap.Error(err))
			}
			if err != nil || !worked {
				break
			}
		}
		if err := a.renewals.Wait(ctx, renewalPoll); err != nil {
			return err
		}
	}
}

// renewSome marks the consents of one notice, batch by batch, and reports whether there was one.
func (a renewer) renewSome(ctx context.Context) (bool, error) {
	var notice noticeRow
	var found bool
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		now := a.Now()
		notice, found, err = a.store.claimRenewals(ctx, tx, now, now.Add(renewalClaim))
		return err
	})
	if err != nil || !found {
		return false, err
	}
	for !notice.RenewalsDone {
		next, err := a.renewBatch(ctx, notice)
		if err != nil {
			a.release(ctx, notice)
			return true, err
		}
		notice = next
	}
	return true, nil
}

// release gives a claim back, so that the marking continues at once after an error or a stop. A claim that is not given back ends by itself.
func (a renewer) release(ctx context.Context, notice noticeRow) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	claim := notice.ClaimedUntil
	notice.ClaimedUntil = 0
	_ = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		_, err := a.store.saveRenewals(ctx, tx, notice, claim)
		return err
	})
}

// renewBatch marks the next consents, first where guards read and then in SQL, and returns the notice with how far it has come. Another
// process that has taken the claim over continues instead.
func (a renewer) renewBatch(ctx context.Context, notice noticeRow) (noticeRow, error) {
	rows, err := a.store.outdated(ctx, notice.Scope, notice.PublishedAt, notice.RenewalCursor, renewalBatch)
	if err != nil {
		return notice, err
	}
	var marked []consentRow
	for _, c := range rows {
		if !notice.outdates(c) {
			continue
		}
		c.RenewalNotice, c.RenewalAt = notice.name(), a.Now().UnixMicro()
		if err := a.hold(ctx, c); err != nil {
			return notice, err
		}
		marked = append(marked, c)
	}
	if len(marked) > 0 {
		if err := mesh.RaiseBarrier(ctx, a.Conn, mesh.Barrier{Kind: mesh.BarrierConsents}); err != nil {
			return notice, err
		}
	}
	next := notice
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		next = notice
		for _, c := range marked {
			changed, err := a.recordRenewal(ctx, tx, c)
			if err != nil {
				return err
			}
			if changed {
				next.Renewals++
			}
		}
		if next.RenewalsDone = len(rows) < renewalBatch; len(rows) > 0 {
			next.RenewalCursor = rows[len(rows)-1].ID
		}
		next.ClaimedUntil = a.Now().Add(renewalClaim).UnixMicro()
		held, err := a.store.saveRenewals(ctx, tx, next, notice.ClaimedUntil)
		if err == nil && !held {
			next.RenewalsDone = true // another process continues
		}
		return err
	})
	return next, err
}

// recordRenewal records that an active consent needs a renewal, and reports whether it did not yet.
func (a *Actor) recordRenewal(ctx context.Context, tx database.Tx, c consentRow) (bool, error) {
	changed, err := a.store.mark(ctx, tx, c, "renewal_at", "renewal_notice")
	if err != nil || !changed {
		return false, err
	}
	return true, a.recordChange(ctx, tx, c, subjects.ConsentRenewalRequired, "")
}

// renewIfOutdated marks a consent that has just been given, if a material change was published while it was recorded.
func (a *Actor) renewIfOutdated(ctx context.Context, c consentRow) (consentRow, error) {
	notice, known, err := a.store.materialChange(ctx, c.Scope)
	if err != nil || !known || !notice.outdates(c) {
		return c, err
	}
	c.RenewalNotice, c.RenewalAt = notice.name(), a.Now().UnixMicro()
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		_, err := a.recordRenewal(ctx, tx, c)
		return err
	})
	return c, err
}
