package workflow

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// What refuses a start: the log cannot follow, too many executions of the process wait, or too many of one user. The last is
// the user's own matter: what the others start is not refused for it.
var (
	errStalled  = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the history cannot be written right now", RetryAfter: time.Second}
	errFull     = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "too many executions wait", RetryAfter: time.Second}
	errOwnQueue = &subjects.Error{Code: subjects.CodeRateLimited, Detail: "too many of your executions wait", RetryAfter: time.Second}
)

// same tells whether err is one of ours, or has come of it in another process.
func same(err error, ours *subjects.Error) bool {
	var e *subjects.Error
	return errors.As(err, &e) && e.Code == ours.Code && e.Detail == ours.Detail
}

// refused tells whether a start was refused: trying again at once is for nobody's good.
func refused(err error) bool { return same(err, errStalled) || same(err, errFull) }

// overloaded refuses new work of a user.
func (p *partition) overloaded(userID string) error {
	switch {
	case p.gone || p.giving:
		return errHandover
	case !p.stalled.IsZero() && time.Since(p.stalled) > stallAfter:
		return errStalled
	case p.e.flow.queuedOf(userID) >= p.e.Config.MaxQueuedPerUser:
		return p.ownQueue()
	case len(p.open) > maxOpen || p.fresh > maxFresh || p.e.flow.queued() > p.e.Config.MaxQueued:
		p.e.metrics.refused.WithLabelValues("process").Inc()
		return errFull
	}
	return nil
}

// ownQueue refuses a start to a user who has as many executions wait as one may.
func (p *partition) ownQueue() error {
	p.e.metrics.refused.WithLabelValues("user").Inc()
	return errOwnQueue
}
