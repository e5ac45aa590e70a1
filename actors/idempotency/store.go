package idempotency

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

// reservation is a row; its times are microseconds since the Unix epoch.
type reservation struct {
	bun.BaseModel `bun:"table:weft_idempotency"`

	ID         string `bun:",pk"`
	Owner      string
	LeaseUntil int64
	ExpiresAt  int64
	Done       bool
	Caller     string
	Bytes      int64
	Sealed     []byte
}

// claimState is the result of claiming a key.
type claimState int

const (
	claimMine claimState = iota // reserved for this call
	claimDone                   // already answered
	claimBusy                   // another call is running
)

// claim reserves id for owner in a transaction of its own, or returns the recorded answer. A reservation whose lease has expired
// is taken over with the steps that its call has committed.
func (s *Store) claim(ctx context.Context, id, caller, owner string, hash []byte) (r record, state claimState, err error) {
	fresh := record{Hash: hash}
	sealed, err := s.seal(id, fresh)
	if err != nil {
		return r, state, err
	}
	now := s.cfg.Now()
	row := reservation{
		ID: id, Caller: caller, Bytes: sizeOf(sealed), Owner: owner,
		LeaseUntil: s.leaseUntil(ctx).UnixMicro(), ExpiresAt: now.Add(s.cfg.Keep).UnixMicro(), Sealed: sealed,
	}
	for {
		err = s.cfg.DB.RunDetached(ctx, func(ctx context.Context, tx bun.Tx) error {
			r, state = fresh, claimMine
			inserted, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO NOTHING").Returning("NULL").Exec(ctx)
			if err != nil {
				return err
			}
			if n, err := inserted.RowsAffected(); err != nil || n == 1 {
				if err == nil && !s.usage.fits(caller) {
					err = ErrTooMany
				}
				return err
			}
			r, state, err = s.claimExisting(ctx, tx, row, fresh)
			return err
		})
		if !errors.Is(err, sql.ErrNoRows) {
			break
		}
		// Another copy released the reservation after the insertion had found it.
	}
	if err != nil {
		return r, state, fmt.Errorf("reserving idempotency key: %w", err)
	}
	if state == claimMine {
		s.usage.add(caller, 1, row.Bytes)
	}
	return r, state, nil
}

// recordOverhead is what a record counts besides its content, in bytes: its other columns and its places in the indexes.
const recordOverhead = 256

func sizeOf(sealed []byte) int64 { return int64(len(sealed)) + recordOverhead }

// claimExisting claims a key that has a row. row and fresh are this call's reservation. It returns sql.ErrNoRows if the row has
// been released in the meantime.
func (s *Store) claimExisting(ctx context.Context, tx bun.Tx, row reservation, fresh record) (record, claimState, error) {
	var old reservation
	query := tx.NewSelect().Model(&old).Where("id = ?", row.ID)
	if s.cfg.DB.Dialect() == database.DialectPostgres {
		query = query.For("UPDATE")
	}
	if err := query.Scan(ctx); err != nil {
		return fresh, claimMine, err
	}
	r, now := fresh, s.cfg.Now().UnixMicro()
	if old.ExpiresAt > now {
		var err error
		if r, err = s.open(old.ID, old.Sealed); err != nil {
			return r, claimMine, err
		}
		switch {
		case subtle.ConstantTimeCompare(r.Hash, fresh.Hash) != 1:
			return r, claimMine, ErrMismatch
		case old.Done && r.Answer != nil:
			return r, claimDone, nil
		case old.LeaseUntil > now && !s.ownerGone(old.Owner):
			return r, claimBusy, nil
		}
		row.Sealed = old.Sealed
	}
	_, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx)
	return r, claimMine, err
}

// ownerGone reports whether the process of a reservation has ended. That is known on SQLite, where only one process has the file.
func (s *Store) ownerGone(owner string) bool {
	return s.cfg.DB.Dialect() == database.DialectSQLite && !strings.HasPrefix(owner, s.cfg.DB.Instance()+"/")
}

// put writes r to the reservation in tx. It fails with errLeaseLost if the reservation is no longer the owner's.
func (s *Store) put(ctx context.Context, tx bun.Tx, k *keyedCall, r record) error {
	sealed, err := s.seal(k.id, r)
	if err != nil {
		return err
	}
	query := tx.NewUpdate().TableExpr("weft_idempotency").Set("sealed = ?", sealed).Set("bytes = ?", sizeOf(sealed)).Set("done = ?", r.Answer != nil).
		Where("id = ?", k.id).Where("owner = ?", k.owner).Where("done = ?", false)
	if r.Answer != nil {
		query = query.Set("expires_at = ?", s.cfg.Now().Add(s.cfg.Keep).UnixMicro())
	}
	res, err := query.Exec(ctx)
	if err != nil {
		return fmt.Errorf("storing idempotency record: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errLeaseLost
	}
	s.usage.add(k.caller, 0, int64(len(sealed)))
	return nil
}

// release ends the reservation of a call. If it has committed steps, the row is kept for a retry, which skips them.
func (s *Store) release(ctx context.Context, k *keyedCall) error {
	return s.cfg.DB.RunDetached(ctx, func(ctx context.Context, tx bun.Tx) error {
		var err error
		if len(k.record.Steps) > 0 {
			_, err = tx.NewUpdate().TableExpr("weft_idempotency").Set("lease_until = 0").
				Where("id = ?", k.id).Where("owner = ?", k.owner).Exec(ctx)
		} else {
			_, err = tx.NewDelete().TableExpr("weft_idempotency").
				Where("id = ?", k.id).Where("owner = ?", k.owner).Where("done = ?", false).Exec(ctx)
			s.usage.add(k.caller, -1, -recordOverhead)
		}
		return err
	})
}

// sweepBatch bounds the rows deleted in one transaction, and so how long it occupies SQLite's writer.
const sweepBatch = 500

// Sweep deletes the expired records and returns their number.
func (s *Store) Sweep(ctx context.Context) (swept int, err error) {
	for {
		var n int64
		err := s.cfg.DB.RunDetached(ctx, func(ctx context.Context, tx bun.Tx) error {
			old := tx.NewSelect().TableExpr("weft_idempotency").Column("id").
				Where("expires_at <= ?", s.cfg.Now().UnixMicro()).Limit(sweepBatch)
			res, err := tx.NewDelete().TableExpr("weft_idempotency").Where("id IN (?)", old).Exec(ctx)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return swept, fmt.Errorf("sweeping idempotency records: %w", err)
		}
		swept += int(n)
		if n < sweepBatch {
			return swept, s.countUsage(ctx)
		}
	}
}

// countUsage counts the records of all callers.
func (s *Store) countUsage(ctx context.Context) error {
	var rows []struct {
		Caller         string
		Records, Bytes int64
	}
	err := s.cfg.DB.NewSelect().TableExpr("weft_idempotency").Column("caller").ColumnExpr("count(*) AS records").
		ColumnExpr("CAST(sum(bytes) AS BIGINT) AS bytes").Group("caller").Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("counting idempotency records: %w", err)
	}
	callers := make(map[string]callerUsage, len(rows))
	for _, row := range rows {
		callers[row.Caller] = callerUsage{Records: row.Records, Bytes: row.Bytes}
	}
	s.usage.set(callers)
	return nil
}

// Run sweeps at once and then every SweepEvery, until ctx ends. It returns the cause of ctx's end.
func (s *Store) Run(ctx context.Context) error {
	sweep := func() {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("expired idempotency records not deleted", zap.Error(err))
		}
	}
	sweep()
	return wait.Every(ctx, s.cfg.SweepEvery, sweep)
}
