package egress

import (
	"cmp"
	"container/list"
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerOptions configures Breakers. The zero value is the seed's: 5 calls half-open, 60 s interval.
type BreakerOptions struct {
	// HalfOpen is how many calls a half-open breaker lets through, and how many must succeed to close it;
	// 0 means 5.
	HalfOpen uint32
	// Interval clears a closed breaker's counts; 0 means a minute.
	Interval time.Duration
	// Open is how long an open breaker refuses before it turns half-open; 0 means a minute.
	Open time.Duration
	// Failures in a row open a breaker, and so does a failing half of the calls of an interval of at least four
	// times as many; 0 means 5.
	Failures uint32
	// Max bounds how many breakers are kept: users name hosts. The one unused for longest goes first, and
	// starts closed when it is needed again. 0 means 4096.
	Max int
	// Changed is told of a change of state ("closed", "half_open", "open"); nil is fine. It must not call back.
	Changed func(provider, host, from, to string)
}

// Breakers keeps one breaker per provider and host. It is safe for concurrent use.
type Breakers struct {
	options BreakerOptions
	mutex   sync.Mutex
	byKey   map[breakerKey]*list.Element
	recent  *list.List
}

type breakerKey struct{ provider, host string }

type breaker struct {
	key  breakerKey
	gate *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// NewBreakers makes an empty set.
func NewBreakers(o BreakerOptions) *Breakers {
	o.HalfOpen = cmp.Or(o.HalfOpen, 5)
	o.Interval = cmp.Or(o.Interval, time.Minute)
	o.Open = cmp.Or(o.Open, time.Minute)
	o.Failures = cmp.Or(o.Failures, 5)
	o.Max = cmp.Or(o.Max, 4096)
	return &Breakers{options: o, byKey: map[breakerKey]*list.Element{}, recent: list.New()}
}

// Allow asks to make one call. It returns an *OpenError, or done, which must be called exactly once with
// what Client.Do returned. Only what speaks against the other side counts: no connection, no answer in time,
// a broken connection, a 5xx. An answer to the caller's mistakes (401, 404, 429 …) counts for it; a call
// that weft refused or the caller gave up counts as nothing.
func (b *Breakers) Allow(provider, host string) (done func(response *Response, err error), err error) {
	report, err := b.get(breakerKey{provider, host}).gate.Allow()
	if err != nil {
		return nil, &OpenError{Provider: provider, Host: host}
	}
	return func(response *Response, err error) { report(verdict(response, err)) }, nil
}

// State is "closed", "half_open" or "open"; a breaker nobody has asked is closed.
func (b *Breakers) State(provider, host string) string {
	b.mutex.Lock()
	element, ok := b.byKey[breakerKey{provider, host}]
	b.mutex.Unlock()
	if !ok {
		return stateNames[gobreaker.StateClosed]
	}
	return stateNames[element.Value.(*breaker).gate.State()]
}

// States lists the provider's hosts that have a breaker, with their states.
func (b *Breakers) States(provider string) map[string]string {
	b.mutex.Lock()
	found := map[string]*breaker{}
	for key, element := range b.byKey {
		if key.provider == provider {
			found[key.host] = element.Value.(*breaker)
		}
	}
	b.mutex.Unlock()
	states := make(map[string]string, len(found))
	for host, entry := range found {
		states[host] = stateNames[entry.gate.State()]
	}
	return states
}

var stateNames = map[gobreaker.State]string{
	gobreaker.StateClosed: "closed", gobreaker.StateHalfOpen: "half_open", gobreaker.StateOpen: "open",
}

func (b *Breakers) get(key breakerKey) *breaker {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if element, ok := b.byKey[key]; ok {
		b.recent.MoveToFront(element)
		return element.Value.(*breaker)
	}
	for b.recent.Len() >= b.options.Max {
		oldest := b.recent.Back()
		delete(b.byKey, oldest.Value.(*breaker).key)
		b.recent.Remove(oldest)
	}
	entry := &breaker{key: key, gate: b.gate(key)}
	b.byKey[key] = b.recent.PushFront(entry)
	return entry
}

func (b *Breakers) gate(key breakerKey) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        key.provider + " " + key.host,
		MaxRequests: b.options.HalfOpen,
		Interval:    b.options.Interval,
		Timeout:     b.options.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= b.options.Failures ||
				c.Requests >= 4*b.options.Failures && 2*c.TotalFailures >= c.Requests
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errNeutral) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if b.options.Changed != nil {
				b.options.Changed(key.provider, key.host, stateNames[from], stateNames[to])
			}
		},
	})
}

var (
	errNeutral = errors.New("egress: says nothing about the other side")
	errFailed  = errors.New("egress: the other side answered with a server error")
)

func verdict(response *Response, err error) error {
	if err != nil {
		switch KindOf(err) {
		case KindConnect, KindTimeout, KindTransport:
			return err
		}
		return errNeutral
	}
	if response == nil {
		return errNeutral
	}
	if response.Status >= 500 && response.Status != 501 {
		return errFailed
	}
	return nil
}
