package egress

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Safety says what repeating a call may do.
type Safety string

// The safeties an action may declare.
const (
	// Read changes nothing.
	Read Safety = "read"
	// Idempotent may run twice with the effect of once.
	Idempotent Safety = "idempotent"
	// WriteOnce must not run twice. It is what an empty or unknown safety means.
	WriteOnce Safety = "write_once"
)

func (s Safety) repeatable() bool { return s == Read || s == Idempotent }

// Policy says how often and how patiently a call is repeated.
type Policy struct {
	// Attempts counts the first one; 0 means 3.
	Attempts int
	// Backoff is the wait before the second attempt, doubled for each further one; 0 means 500 ms.
	Backoff time.Duration
	// MaxBackoff bounds the doubled wait; 0 means 30 s.
	MaxBackoff time.Duration
	// MaxRetryAfter is the longest wait another side may ask for that is waited; a longer one ends the
	// attempts. 0 means a minute.
	MaxRetryAfter time.Duration
	// Jitter gives numbers in [0,1); nil means no jitter.
	Jitter func() float64
}

// Outcome is one attempt that did not succeed.
type Outcome struct {
	Safety Safety
	// Attempt counts from 1.
	Attempt int
	// Err is what Client.Do or Breakers.Allow returned, nil when there was an answer.
	Err error
	// Status is the answer's.
	Status int
	// Limited and Unavailable say what a status does not: that the other side refused for now, having done
	// nothing, or that it failed. A 429 is Limited, and 500, 502, 503 and 504 are Unavailable, unasked.
	Limited, Unavailable bool
	// RetryAfter is what the answer asked for; 0 is nothing.
	RetryAfter time.Duration
}

// Next says whether to try again and how long to wait first.
//
// A call that must not run twice is repeated only where the other side cannot have acted (nothing was sent)
// or says that it has not (limited): never after a timeout, a broken connection or a 5xx that followed a
// written request.
func (p Policy) Next(o Outcome) (wait time.Duration, again bool) {
	if o.Attempt >= cmp.Or(p.Attempts, 3) || !p.repeats(o) {
		return 0, false
	}
	if o.RetryAfter > cmp.Or(p.MaxRetryAfter, time.Minute) {
		return 0, false
	}
	backoff, limit := cmp.Or(p.Backoff, 500*time.Millisecond), cmp.Or(p.MaxBackoff, 30*time.Second)
	for range max(o.Attempt-1, 0) {
		if backoff >= limit {
			break
		}
		backoff *= 2
	}
	backoff = min(backoff, limit)
	if p.Jitter != nil {
		backoff = backoff/2 + time.Duration(p.Jitter()*float64(backoff/2))
	}
	if o.RetryAfter > 0 {
		return o.RetryAfter + min(backoff, o.RetryAfter/4), true
	}
	return backoff, true
}

func (p Policy) repeats(o Outcome) bool {
	if o.Err != nil {
		var failure *Error
		if !errors.As(o.Err, &failure) {
			return false
		}
		switch failure.Kind {
		case KindConnect, KindTimeout, KindTransport:
			return !failure.Sent || o.Safety.repeatable()
		}
		return false
	}
	if o.Limited || o.Status == http.StatusTooManyRequests {
		return true
	}
	switch o.Status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return o.Safety.repeatable()
	}
	return o.Unavailable && o.Safety.repeatable()
}

// RetryAfter reads a Retry-After header: seconds, fractions allowed (Discord), or an HTTP date. It is 0
// where there is none, it makes no sense, or it lies in the past.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if seconds > 0 && seconds < 1e7 {
			return time.Duration(seconds * float64(time.Second))
		}
		return 0
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
