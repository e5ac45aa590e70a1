package workflow

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

// serve makes a pass over each of a group of a user's due schedules. It leaves out those that another process has claimed.
func (s *scheduler) serve(ctx context.Context, userID string) error {
	now := s.Now()
	rows, err := dueSchedules(ctx, s.DB.DB, userID, now, scheduleGroup)
	if err != nil || len(rows) == 0 {
		return err
	}
	if s.Guard.Blocked(userID) {
		return s.postpone(ctx, rows, now.Add(blockedSchedulePoll))
	}
	passes := make([]*pass, len(rows))
	for i, row := range rows {
		passes[i] = &pass{scheduler: s, row: row, now: now}
		passes[i].attempt("preparing", func() error { return passes[i].prepare(ctx) })
	}
	if passes, err = s.claim(ctx, passes); err != nil {
		return err
	}
	s.dispatch(ctx, passes)
	if ctx.Err() != nil { // the process stops; the next one continues at once
		for _, p := range passes {
			if p.plan != nil {
				p.failed = nil
				p.passAgain(p.now)
			}
		}
	}
	ending, cancel := database.CleanupContext(ctx, claimTimeout/2)
	defer cancel()
	return s.finish(ending, passes)
}

// prepare reads the schedule's definition and computes the runs that have become due.
func (p *pass) prepare(ctx context.Context) (err error) {
	if p.def, p.plan, err = p.definitions.plan(ctx, p.row.WorkflowID, p.row.Version); err != nil {
		return err
	}
	return p.materialise(ctx)
}

// attempt does a part of the pass, unless an earlier one failed. A failed pass is made again when its claim ends. A panic is a failure:
// it concerns no other schedule.
func (p *pass) attempt(doing string, part func() error) {
	if p.failed != nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			p.failed = fmt.Errorf("%s: panic: %v", doing, cause)
			p.Log.Error("panic in a scheduler pass", zap.String("schedule_id", p.row.ID), zap.Any("cause", cause), zap.Stack("stack"))
		}
	}()
	if err := part(); err != nil {
		p.failed = fmt.Errorf("%s: %w", doing, err)
	}
}

// claim claims the schedules of passes and inserts their runs, in one transaction. It returns the passes whose schedules have not
// changed since they were read.
func (s *scheduler) claim(ctx context.Context, passes []*pass) ([]*pass, error) {
	claimed := make([]*pass, 0, len(passes))
	err := s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		claimed = claimed[:0]
		for _, p := range passes {
			mine, err := p.claim(ctx, tx)
			if err != nil {
				return err
			}
			if mine {
				claimed = append(claimed, p)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, p := range claimed {
		p.row.Revision++
	}
	return claimed, nil
}

// claim claims the schedule and inserts the runs that have become due. It reports false, and does nothing, if the schedule has
// changed since it was read, be it that another process has claimed it or that the user has paused it.
func (p *pass) claim(ctx context.Context, tx database.Tx) (bool, error) {
	row := p.row
	row.WakeAt = p.now.Add(claimTimeout).UnixMicro()
	columns := []string{"wake_at"}
	if len(p.runs) > 0 && p.failed == nil {
		columns = append(columns, "nominal_until", "after_from")
	}
	mine, err := updateSchedule(ctx, tx, &row, columns...)
	if err != nil || !mine || len(columns) == 1 {
		return mine, err
	}
	return true, p.insert(ctx, tx)
}

// dispatch starts the runs of claimed passes that are due, scheduleStarts passes at a time.
func (s *scheduler) dispatch(ctx context.Context, passes []*pass) {
	slots := make(chan struct{}, scheduleStarts)
	var group sync.WaitGroup
	for _, p := range passes {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			p.attempt("starting correlations", func() error { return p.startCorrelated(ctx) })
			p.attempt("dispatching", func() error { return p.dispatch(ctx) })
		})
	}
	group.Wait()
}

// finish writes what passes have decided, in one transaction. If that fails, each is written alone, so that one cannot fail the
// others.
func (s *scheduler) finish(ctx context.Context, passes []*pass) error {
	err := s.write(ctx, passes...)
	if err == nil || len(passes) == 1 || ctx.Err() != nil {
		return err
	}
	for _, p := range passes {
		if err := s.write(ctx, p); err != nil {
			s.Log.Warn("writing a scheduler pass", zap.String("schedule_id", p.row.ID), zap.Error(err))
		}
	}
	return nil
}

func (s *scheduler) write(ctx context.Context, passes ...*pass) error {
	return s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		for _, p := range passes {
			if err := p.write(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// write writes what the pass has decided, also if a later part of it failed. Then the claim decides when the next pass is due.
func (p *pass) write(ctx context.Context, tx database.Tx) error {
	for _, write := range p.writes {
		if err := write(ctx, tx); err != nil {
			return err
		}
	}
	if p.failed != nil {
		p.Log.Warn("making a scheduler pass", zap.String("schedule_id", p.row.ID), zap.Error(p.failed))
		return nil //nolint:nilerr // the next pass tries again
	}
	row := p.row
	row.WakeAt = p.wakeAt()
	_, err := updateSchedule(ctx, tx, &row, "wake_at", "nominal_until", "after_from", "refused_at", "refused_reason")
	return err
}

// postpone lets the next passes wait while the user's account is blocked. Once it is not, the runs that became due meanwhile are
// treated as after an outage.
func (s *scheduler) postpone(ctx context.Context, rows []scheduleRow, until time.Time) error {
	return s.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		for _, row := range rows {
			row.WakeAt = until.UnixMicro()
			if _, err := updateSchedule(ctx, tx, &row, "wake_at"); err != nil {
				return err
			}
		}
		return nil
	})
}
