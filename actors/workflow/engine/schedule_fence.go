package engine

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// A schedule's start is fenced off by its pause where the execution is to live: the owner of that partition looks whether
// the schedule still starts it, and a pause is acknowledged when every owner has the starts in its log that it allowed before.

// errPaused: the schedule starts the execution no more.
var ErrSchedulePaused = subjects.Errorf(subjects.CodeNotFound, "there is no schedule any more that starts the execution")

// beginAllowed begins an execution, unless a schedule asks for it that was paused.
func (p *partition) startFenced(ctx context.Context, c startCommand, def *language.Workflow, wait chan Result) (done chan error, err error) {
	if c.Schedule == "" {
		return p.start(c.Row, def, wait)
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
	return p.start(c.Row, def, wait)
}

// drain returns when the starts are in the log that schedules have allowed before.
func (p *partition) drainScheduleStarts(ctx context.Context) error {
	p.scheduleStarts.Lock() // who held it has decided
	defer p.scheduleStarts.Unlock()
	return p.barrier(ctx)
}
