package engine

import (
	"errors"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// What refuses a start: the log cannot follow, too many executions of the process wait, or too many of one user. The last is
// the user's own matter: what the others start is not refused for it.
var (
	errStalled       = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the history cannot be written right now", RetryAfter: time.Second}
	errOverloaded    = &subjects.Error{Code: subjects.CodeUnavailable, Detail: "too many executions wait", RetryAfter: time.Second}
	errUserQueueFull = &subjects.Error{Code: subjects.CodeRateLimited, Detail: "too many of your executions wait", RetryAfter: time.Second}
)

// same tells whether err is one of ours, or has come of it in another process.
func IsSame(err error, ours *subjects.Error) bool {
	var e *subjects.Error
	return errors.As(err, &e) && e.Code == ours.Code && e.Detail == ours.Detail
}

// refused tells whether a start was refused: trying again at once is for nobody's good.
func isOverload(err error) bool { return IsSame(err, errStalled) || IsSame(err, errOverloaded) }

// overloaded refuses new work of a user.
func (p *partition) checkOverload(userID string) error {
	switch {
	case p.closed || p.draining:
		return errPartitionMoving
	case !p.stalledSince.IsZero() && time.Since(p.stalledSince) > stallAfter:
		return errStalled
	case p.e.executionSlots.queuedOf(userID) >= p.e.Config.MaxQueuedPerUser:
		return p.userQueueFull()
	case len(p.pending) > maxPendingTransitions || p.unprojectedBytes > maxUnprojectedBytes || p.e.executionSlots.queued() > p.e.Config.MaxQueued:
		p.e.metrics.refused.WithLabelValues("process").Inc()
		return errOverloaded
	}
	return nil
}

// ownQueue refuses a start to a user who has as many executions wait as one may.
func (p *partition) userQueueFull() error {
	p.e.metrics.refused.WithLabelValues("user").Inc()
	return errUserQueueFull
}
