package egress

import (
	"cmp"
	"errors"
	"net/http"
	"time"
)

// Safety says whether a call may be repeated.
type Safety string

// The safeties an action may declare.
const (
	// Read has no side effects.
	Read Safety = "read"
	// Idempotent has the same effect whether it runs once or more.
	Idempotent Safety = "idempotent"
	// WriteOnce must not run twice. An empty or unknown safety is treated as WriteOnce.
	WriteOnce Safety = "write_once"
)

func (s Safety) repeatable() bool { return s == Read || s == Idempotent }

// Policy says how often and after what delays a failed call is retried.
type Policy struct {
	// Attempts is the maximum number of attempts, including the first; 0 means 3.
	Attempts int
	// Backoff is the delay before the second attempt; it doubles for each further one. 0 means 500 ms.
	Backoff time.Duration
	// MaxBackoff bounds the doubled delay; 0 means 30 s.
	MaxBackoff time.Duration
	// MaxRetryAfter is the longest Retry-After that is honoured; a longer one ends the attempts. 0 means a minute.
	MaxRetryAfter time.Duration
	// Jitter returns random numbers in [0,1); nil means no jitter.
	Jitter func() float64
}

// Outcome is one failed attempt.
type Outcome struct {
	Safety Safety
	// Attempt counts from 1.
	Attempt int
	// Err is the error of Client.Do or Breakers.Allow; nil if there was a response.
	Err error
	// Status is the status of the response.
	Status int
	// Limited says that the server rate limited the request and did not process it; Unavailable that it failed. They are
	// for servers that do not say so by the status: 429 is always Limited, and a status of ServerFailed always Unavailable.
	Limited, Unavailable bool
	// RetryAfter is the delay that the response asked for; 0 means none.
	RetryAfter time.Duration
}

// Next returns whether to retry, and the delay before the next attempt.
//
// A WriteOnce call is retried only if the server cannot have processed it (nothing was sent) or says that it has not
// (Limited): never after a timeout, a broken connection or a 5xx once the request was written.
func (p Policy) Next(o Outcome) (wait time.Duration, retry bool) {
	if o.Attempt >= cmp.Or(p.Attempts, 3) || !retryable(o) {
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

func retryable(o Outcome) bool {
	if o.Err != nil {
		var failure *Error
		if !errors.As(o.Err, &failure) {
			return false
		}
		switch failure.Kind {
		case KindConnect, KindTimeout, KindTransport:
			return !failure.Sent || o.Safety.repeatable()
		case KindBlocked:
			return failure.Unresolved && (!failure.Sent || o.Safety.repeatable())
		}
		return false
	}
	if o.Limited || o.Status == http.StatusTooManyRequests {
		return true
	}
	return (o.Unavailable || ServerFailed(o.Status)) && o.Safety.repeatable()
}

// ServerFailed reports whether a status says that a server failed to process a request that may be valid: any of the class 5xx, since
// a status that is not known is treated as 500 (RFC 9110 §15), but 501, which says that the method is not supported.
func ServerFailed(status int) bool {
	return status >= 500 && status <= 599 && status != http.StatusNotImplemented
}
