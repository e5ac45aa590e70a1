package egress

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/sony/gobreaker/v2"
)

// BreakerOptions configures Breakers. Zero fields take the defaults named below.
type BreakerOptions struct {
	// HalfOpen is how many calls a half-open breaker admits, and how many must succeed to close it; 0 means 5.
	HalfOpen uint32
	// Interval is the period after which a closed breaker resets its counts; 0 means a minute.
	Interval time.Duration
	// Open is how long a breaker stays open before it becomes half-open; 0 means a minute.
	Open time.Duration
	// Failures is how many consecutive failures open a breaker. A breaker also opens when at least half of the calls in
	// an interval fail, once there were 4 × Failures calls. 0 means 5.
	Failures uint32
	// Max bounds the number of breakers, because users choose the hosts. The least recently used one is evicted; it
	// starts closed when it is created again. 0 means 4096.
	Max int
	// Changed, if set, is called on each change of state ("closed", "half_open", "open"). It must not call Breakers.
	Changed func(provider, host, from, to string)
}

// Breakers holds one circuit breaker per provider and host. It is safe for concurrent use.
type Breakers struct {
	options  BreakerOptions
	mu       sync.Mutex // held from a miss until the new circuit is added
	circuits *simplelru.LRU[breakerKey, *circuit]
}

type breakerKey struct{ provider, host string }

type circuit = gobreaker.TwoStepCircuitBreaker[struct{}]

// NewBreakers creates an empty set. It panics if Max is negative.
func NewBreakers(o BreakerOptions) *Breakers {
	o.HalfOpen = cmp.Or(o.HalfOpen, 5)
	o.Interval = cmp.Or(o.Interval, time.Minute)
	o.Open = cmp.Or(o.Open, time.Minute)
	o.Failures = cmp.Or(o.Failures, 5)
	o.Max = cmp.Or(o.Max, 4096)
	circuits, err := simplelru.NewLRU[breakerKey, *circuit](o.Max, nil)
	if err != nil {
		panic("egress: BreakerOptions.Max is negative")
	}
	return &Breakers{options: o, circuits: circuits}
}

// Allow asks for permission to make one call. It returns an *OpenError, or done, which must be called exactly once with
// the results of Client.Do. Failures are those of the server: KindConnect, KindTimeout, KindTransport and any 5xx but
// 501. Every other response is a success, including 4xx. All other errors, such as KindCanceled or KindBlocked, are not
// counted.
func (b *Breakers) Allow(provider, host string) (done func(response *Response, err error), err error) {
	report, err := b.get(breakerKey{provider, host}).Allow()
	if err != nil {
		return nil, &OpenError{Provider: provider, Host: host}
	}
	return func(response *Response, err error) { report(breakerOutcome(response, err)) }, nil
}

// State returns "closed", "half_open" or "open"; "closed" if there is no such breaker.
func (b *Breakers) State(provider, host string) string {
	b.mu.Lock()
	c, ok := b.circuits.Peek(breakerKey{provider, host})
	b.mu.Unlock()
	if !ok {
		return stateNames[gobreaker.StateClosed]
	}
	return stateNames[c.State()]
}

// States returns the state of each breaker of a provider, by host.
func (b *Breakers) States(provider string) map[string]string {
	b.mu.Lock()
	found := map[string]*circuit{}
	for _, key := range b.circuits.Keys() {
		if key.provider == provider {
			found[key.host], _ = b.circuits.Peek(key)
		}
	}
	b.mu.Unlock()
	states := make(map[string]string, len(found))
	for host, c := range found {
		states[host] = stateNames[c.State()]
	}
	return states
}

var stateNames = map[gobreaker.State]string{
	gobreaker.StateClosed: "closed", gobreaker.StateHalfOpen: "half_open", gobreaker.StateOpen: "open",
}

func (b *Breakers) get(key breakerKey) *circuit {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.circuits.Get(key)
	if !ok {
		c = b.newCircuit(key)
		b.circuits.Add(key, c)
	}
	return c
}

func (b *Breakers) newCircuit(key breakerKey) *circuit {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        key.provider + " " + key.host,
		MaxRequests: b.options.HalfOpen,
		Interval:    b.options.Interval,
		Timeout:     b.options.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= b.options.Failures ||
				c.Requests >= 4*b.options.Failures && 2*c.TotalFailures >= c.Requests
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errNotCounted) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if b.options.Changed != nil {
				b.options.Changed(key.provider, key.host, stateNames[from], stateNames[to])
			}
		},
	})
}

var (
	errNotCounted = errors.New("egress: not counted")
	errServer     = errors.New("egress: server error")
)

// breakerOutcome returns what a call counts as: nil for a success, errNotCounted, or any other error for a failure.
func breakerOutcome(response *Response, err error) error {
	if err != nil {
		switch KindOf(err) {
		case KindConnect, KindTimeout, KindTransport:
			return err
		}
		return errNotCounted
	}
	if response == nil {
		return errNotCounted
	}
	if ServerFailed(response.Status) {
		return errServer
	}
	return nil
}
