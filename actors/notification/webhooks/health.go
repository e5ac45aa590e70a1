package webhooks

import (
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/dispatch"
	"github.com/weftmesh/weft/subjects"
)

const (
	// successEvery is how often the success of a webhook that does not fail is recorded.
	successEvery = time.Minute
	// firstWarning is how long a webhook has failed when its owner is warned first; the second warning is a day before it is disabled.
	firstWarning = 24 * time.Hour
	lastWarning  = 24 * time.Hour
	// betweenWarnings is the least time from one step to the next. A webhook that rarely gets an event, and has failed since long ago, is
	// not disabled at its second failure.
	betweenWarnings = 12 * time.Hour
	// warningsBefore is how many warnings precede the end.
	warningsBefore = 2
	// maxHealthError bounds the recorded error of an attempt in bytes.
	maxHealthError = 300
)

// step is what the outcomes of attempts mean for a webhook.
type step int

// The steps.
const (
	stepNone step = iota
	stepWarn
	stepDisable
	stepGone
)

// attemptSummary is what a batch of outcomes says about one webhook.
type attemptSummary struct {
	// success is the latest success, failure the first failure after it; zero for none.
	success, failure time.Time
	lastError        string
	// ended is a 410.
	ended bool
}

// add adds the outcome of an attempt.
func (s *attemptSummary) add(o dispatch.Outcome) {
	at := o.StartedAt.Add(o.Duration)
	s.ended = s.ended || o.Gone
	switch {
	case o.Succeeded && at.After(s.success):
		s.success = at
		if !s.failure.After(at) {
			s.failure = time.Time{}
		}
	case !o.Succeeded && at.After(s.success) && (s.failure.IsZero() || at.Before(s.failure)):
		s.failure = at
	}
	if !o.Succeeded {
		s.lastError = channel.Truncate(o.Error, maxHealthError)
	}
}

// after returns the health of a webhook after a batch of outcomes, whether it is to be stored, and the step that follows. disableAfter is
// how long it may fail.
func (h webhookHealthRow) after(s attemptSummary, now time.Time, disableAfter time.Duration) (next webhookHealthRow, changed bool, follows step) {
	next = h
	if s.lastError != "" {
		next.LastError = s.lastError
	}
	if success := s.success.UnixMicro(); !s.success.IsZero() {
		if h.FailingSince != 0 || success-h.LastSuccessAt >= successEvery.Microseconds() {
			next.LastSuccessAt = max(success, h.LastSuccessAt)
		}
		next.FailingSince, next.Warnings, next.WarnedAt = 0, 0, 0
	}
	if !s.failure.IsZero() {
		if next.FailingSince == 0 {
			next.FailingSince = s.failure.UnixMicro()
		}
		next, follows = next.escalate(now, disableAfter)
	}
	if s.ended {
		follows = stepGone
	}
	return next, next != h, follows
}

// escalate returns the step that is due for a webhook that has just failed.
func (h webhookHealthRow) escalate(now time.Time, disableAfter time.Duration) (webhookHealthRow, step) {
	failing := now.Sub(time.UnixMicro(h.FailingSince))
	if h.WarnedAt != 0 && now.Sub(time.UnixMicro(h.WarnedAt)) < min(betweenWarnings, disableAfter/10) {
		return h, stepNone
	}
	due := []time.Duration{min(firstWarning, disableAfter/5), disableAfter - min(lastWarning, disableAfter/5)}
	if h.Warnings >= warningsBefore {
		if failing >= disableAfter {
			return h, stepDisable
		}
		return h, stepNone
	}
	if failing < due[h.Warnings] {
		return h, stepNone
	}
	h.Warnings, h.WarnedAt = h.Warnings+1, now.UnixMicro()
	return h, stepWarn
}

// disabledReason returns the reason of a webhook that a step has disabled, and its status.
func (s step) disabledReason(disableAfter time.Duration) (status, reason string) {
	if s == stepGone {
		return subjects.WebhookGone, "it answered 410 Gone"
	}
	unit, number := period(disableAfter)
	return subjects.WebhookDisabledByFailures, fmt.Sprintf("no delivery has succeeded for %d %s", number, unit)
}

// period returns a duration in days, or in hours if it is shorter than two.
func period(d time.Duration) (unit string, number int) {
	if n := int(d / (24 * time.Hour)); n > 1 {
		return "days", n
	}
	return "hours", int(d / time.Hour)
}
