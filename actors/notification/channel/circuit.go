package channel

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/sony/gobreaker/v2"
)

const (
	// maxCircuits bounds the breakers of one provider with several servers. The least recently used one is dropped, and starts closed when it
	// is made again.
	maxCircuits = 1024
	// maxFailing bounds the users that a circuit knows to fail. maxProbes bounds the attempts in flight that it lets through while it is open.
	maxFailing = 4096
	maxProbes  = 8
)

// circuit decides whether a provider, or one of its servers, gets a message. Router.mu protects its fields.
type circuit struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	// pausedUntil is when a provider that throttled is asked again.
	pausedUntil time.Time
	// failing holds, by user, when the last attempt failed. A success removes the user.
	failing *simplelru.LRU[string, time.Time]
	// probes counts the attempts in flight beside the open breaker.
	probes int
}

// attempt asks one provider once. left is positive if the provider was not asked: the time until it may be. probe asks one whose breaker is
// open, for a user whose last attempt has not failed. If it accepts, the breaker closes.
func (r *Router) attempt(ctx context.Context, e Entry, m Message, timeout time.Duration, probe bool) (receipt Receipt, failed *Error, left time.Duration) {
	c, user := r.circuit(e, m.Address), cmp.Or(m.UserID, m.Address.To)
	report, left := r.admit(c, e.Provider.Name(), user, probe)
	if left > 0 {
		return Receipt{}, nil, left
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begin := time.Now()
	receipt, err := e.Provider.Send(bounded, m)
	failed = classified(e.Provider.Name(), err)
	report(outcome(ctx, failed))
	class := Class("")
	if failed != nil {
		class = failed.Class
	}
	r.mu.Lock()
	if class == Throttled && e.Platform == "" && !failed.Recipient {
		c.pausedUntil = time.Now().Add(min(max(failed.RetryAfter, time.Second), r.options.MaxPause))
	}
	switch {
	case class == "":
		c.failing.Remove(user)
	case class == Transient && ctx.Err() == nil:
		c.failing.Add(user, time.Now())
	}
	r.mu.Unlock()
	if r.options.Attempted != nil {
		r.options.Attempted(e.Provider.Name(), class, time.Since(begin))
	}
	return receipt, failed, 0
}

// admit lets an attempt through and returns what its outcome is reported to. Otherwise left is the time until the provider may be asked.
func (r *Router) admit(c *circuit, provider, user string, probe bool) (report func(error), left time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if paused := time.Until(c.pausedUntil); paused > 0 {
		return nil, paused
	}
	breaker := c.breaker
	report, err := breaker.Allow()
	if err == nil {
		return report, 0
	}
	failedAt, fails := c.failing.Peek(user)
	if !probe || c.probes >= maxProbes || fails && time.Since(failedAt) < r.options.Open {
		return nil, r.options.Open
	}
	c.probes++
	return func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		c.probes--
		if err == nil && c.breaker == breaker {
			c.breaker = r.newBreaker(provider)
			r.changed(provider, breaker.State(), gobreaker.StateClosed)
		}
	}, 0
}

var (
	errNotCounted = errors.New("channel: not counted")
	errFailed     = errors.New("channel: transient failure")
)

// outcome is what an attempt counts as in the breaker. An answer that concerns the message or the rate is a success: the provider works.
func outcome(ctx context.Context, failed *Error) error {
	switch {
	case failed == nil, failed.Class != Transient, failed.Recipient:
		return nil
	case ctx.Err() != nil:
		return errNotCounted
	}
	return errFailed
}

// State returns the state of a provider's breaker for an address: closed, half_open or open.
func (r *Router) State(provider string, a Address) string {
	i := slices.IndexFunc(r.entries, func(e Entry) bool { return e.Provider.Name() == provider })
	if i < 0 {
		return stateNames[gobreaker.StateClosed]
	}
	c := r.circuit(r.entries[i], a)
	r.mu.Lock()
	defer r.mu.Unlock()
	return stateNames[c.breaker.State()]
}

var stateNames = map[gobreaker.State]string{
	gobreaker.StateClosed: "closed", gobreaker.StateHalfOpen: "half_open", gobreaker.StateOpen: "open",
}

func (r *Router) circuit(e Entry, a Address) *circuit {
	name := e.Provider.Name()
	key := name
	if e.Host != nil {
		key += " " + e.Host(a)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.circuits.Get(key); ok {
		return c
	}
	failing, err := simplelru.NewLRU[string, time.Time](maxFailing, nil)
	if err != nil {
		panic("channel: " + err.Error()) // the size is positive
	}
	c := &circuit{breaker: r.newBreaker(name), failing: failing}
	r.circuits.Add(key, c)
	return c
}

func (r *Router) newBreaker(provider string) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: r.options.HalfOpen, Interval: time.Minute, Timeout: r.options.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= r.options.Failures || c.Requests >= 4*r.options.Failures && 2*c.TotalFailures >= c.Requests
		},
		IsExcluded:    func(err error) bool { return errors.Is(err, errNotCounted) },
		OnStateChange: func(_ string, from, to gobreaker.State) { r.changed(provider, from, to) },
	})
}

func (r *Router) changed(provider string, from, to gobreaker.State) {
	if r.options.Changed != nil {
		r.options.Changed(provider, stateNames[from], stateNames[to])
	}
}
