package machine

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// delay is the time before the next attempt: constant, linear or exponential, plus jitter, from 0 to MaxRetryDelay.
func (e *evaluator) delay(run *Run, policy *language.RetryPolicy, scope language.Scope) (time.Duration, error) {
	base, err := e.duration(policy.Delay, run, scope)
	if err != nil {
		return 0, err
	}
	delay := float64(base)
	switch policy.Backoff.Kind {
	case "linear":
		increment := base
		if policy.Backoff.Increment != nil {
			if increment, err = e.duration(policy.Backoff.Increment, run, scope); err != nil {
				return 0, err
			}
		}
		delay += float64(increment) * float64(run.Tries-1)
	case "exponential":
		delay *= math.Pow(policy.Backoff.Factor, float64(run.Tries-1))
	}
	if policy.Backoff.MaxDelay != nil {
		longest, err := e.duration(policy.Backoff.MaxDelay, run, scope)
		if err != nil {
			return 0, err
		}
		delay = min(delay, float64(longest))
	}
	if policy.JitterFrom != nil && policy.JitterTo != nil {
		jitter, err := e.jitter(run, policy, scope)
		if err != nil {
			return 0, err
		}
		delay += float64(jitter)
	}
	return boundDelay(delay), nil
}

// boundDelay is a number of nanoseconds as a delay from 0 to MaxRetryDelay. A large factor makes an infinite number, or none at all of a
// base of zero, and a negative factor a negative one.
func boundDelay(nanoseconds float64) time.Duration {
	switch {
	case nanoseconds >= float64(MaxRetryDelay):
		return MaxRetryDelay
	case nanoseconds > 0:
		return time.Duration(nanoseconds)
	}
	return 0
}

// jitter is uniformly distributed between its bounds and is always the same for the same attempt of the same task run.
func (e *evaluator) jitter(run *Run, policy *language.RetryPolicy, scope language.Scope) (time.Duration, error) {
	from, err := e.duration(policy.JitterFrom, run, scope)
	if err != nil {
		return 0, err
	}
	to, err := e.duration(policy.JitterTo, run, scope)
	if err != nil || to <= from {
		return from, err
	}
	sum := sha256.Sum256([]byte(e.state.Execution + run.Key + "#" + strconv.Itoa(run.Tries)))
	share := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	return from + time.Duration(share*float64(to-from)), nil
}

// attemptDue is when an attempt that begins now times out by limit.attempt.duration; nil without such a limit.
func (e *evaluator) attemptDue(run *Run, now time.Time) *time.Time {
	task := e.def.Task(run.Task)
	policy := task.Try.Catch.Retry
	if policy == nil || policy.AttemptDuration == nil {
		return nil
	}
	length, err := e.duration(policy.AttemptDuration, run, e.scope(run, task))
	if err != nil {
		// A limit that cannot be evaluated counts as zero: the attempt times out at once.
		length = 0
	}
	due := now.Add(length)
	return &due
}
