package dispatch

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// verdict is what an attempt means for its delivery.
type verdict struct {
	succeeded, final bool
	// unwanted is an answer of 410.
	unwanted bool
	// delay is the time until the next attempt, if there is one.
	delay time.Duration
	// throttled means that the answer asked to wait for delay.
	throttled bool
}

// judge decides about a delivery after its attempt number n since its start or replay, from 1. retryAfter is what the answer asks for.
// An answer of 429 or 503 can make the delay of the schedule longer, but not shorter: else a server that always asks for a second would
// use the schedule up within seconds.
func judge(status, n int, retryAfter time.Duration, schedule []time.Duration) verdict {
	switch {
	case status >= 200 && status <= 299:
		return verdict{succeeded: true, final: true}
	case status == http.StatusGone:
		return verdict{final: true, unwanted: true}
	case n > len(schedule):
		return verdict{final: true}
	}
	v := verdict{delay: jitter(schedule[n-1])}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		if asked := min(retryAfter, MaxRetryAfter); asked > 0 {
			v.throttled, v.delay = true, max(v.delay, asked)
		}
	}
	return v
}

// jitter returns a delay within 10 % of d, at least a millisecond.
func jitter(d time.Duration) time.Duration {
	tenth := max(int64(d)/10, 1)
	return max(d-time.Duration(tenth)+time.Duration(rand.Int64N(2*tenth+1)), time.Millisecond)
}
