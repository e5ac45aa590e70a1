package engine

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// Starts by a schedule are fenced by its pause in the partition where the execution is to run: the owner checks that the schedule
// still starts it, and a pause is acknowledged once every owner's log has the starts that were allowed before.

// ErrSchedulePaused says that the schedule does not start the execution any more.
var ErrSchedulePaused = &subjects.Error{
	Code: subjects.CodeNotFound, Reason: subjects.ReasonScheduleInactive, Detail: "no active schedule starts the execution",
}

// startFenced starts an execution, unless a schedule starts it that was paused.
func (p *partition) startFenced(
	ctx context.Context, c startCommand, def *language.Workflow, wait chan Result, live func() bool,
) (logged chan error, err error) {
	if c.Schedule == "" {
		return p.start(c.Row, def, wait, live)
	}
	p.scheduleStarts.RLock()
	defer p.scheduleStarts.RUnlock()
	allowed, err := p.e.ScheduleAllows(ctx, c.Schedule, c.Row.ID)
	if err != nil {
		return nil, database.Classify(err)
	}
	if !allowed {
		return nil, ErrSchedulePaused
	}
	return p.start(c.Row, def, wait, live)
}

// drainScheduleStarts returns when the log has the starts that schedules were allowed before.
func (p *partition) drainScheduleStarts(ctx context.Context) error {
	p.scheduleStarts.Lock()   // waits for the starts that are being decided: they precede the barrier
	p.scheduleStarts.Unlock() //nolint:staticcheck,gocritic // later starts see the pause
	return p.writer.barrier(ctx)
}
