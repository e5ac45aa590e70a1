package channel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Entry is one provider of a channel.
type Entry struct {
	Provider Provider
	// Weight is the provider's share of the messages among the weights of all; at least 1.
	Weight int
	// Idempotent: a message that the provider gets twice reaches the person once, since it takes Message.ID as an idempotency key or shows
	// the second in place of the first. A message whose outcome is unknown may be given to it again; see Router.Send.
	Idempotent bool
	// Platform is the only platform that the provider serves (Address.Platform); empty for any. A provider of one platform throttles single
	// devices, so that it is not left out for others.
	Platform string
	// Host names the server that an address is on, where the address decides it; nil if all are on one. Each server has a circuit breaker
	// of its own.
	Host func(Address) string
}

// Options configures a Router. Zero fields take the defaults named below.
type Options struct {
	// Channel is the name of the Router as a Provider: the channel.
	Channel string
	// Timeout bounds the call of one provider; 0 means 15 s.
	Timeout time.Duration
	// Reserve is the time that must be left until the context's deadline for another provider to be tried; 0 means 2 s.
	Reserve time.Duration
	// Failures is how many consecutive transient failures open a provider's circuit breaker; 0 means 5. It also opens when at least half
	// of the attempts of a minute fail, once there were 4 × Failures.
	Failures uint32
	// Open is how long a breaker stays open before it lets attempts through again; 0 means a minute.
	Open time.Duration
	// HalfOpen is how many attempts a half-open breaker lets through, and how many must succeed to close it; 0 means 3.
	HalfOpen uint32
	// MaxPause bounds how long a provider that throttles is left out; 0 means a minute.
	MaxPause time.Duration
	// Attempted, if set, is called after each attempt with its class, empty for a success.
	Attempted func(provider string, class Class, took time.Duration)
	// Changed, if set, is called on each change of a breaker's state: closed, half_open, open. It must not call the Router.
	Changed func(provider, from, to string)
}

// ErrNoProvider means that the channel has no provider for an address.
var ErrNoProvider = errors.New("no provider is configured for the channel")

// Router sends the messages of one channel by its providers. It is safe for concurrent use.
//
// The providers that may get a message are put in an order by rendezvous hashing of Message.ID, in which each comes first as often as its
// weight says. So every attempt for a message begins with the same provider, and a provider that is added or removed moves only the
// messages that it gets.
type Router struct {
	options  Options
	entries  []Entry
	mu       sync.Mutex
	circuits *simplelru.LRU[string, *circuit]
}

// NewRouter makes a router. It panics if an entry's weight is not positive or two providers have the same name.
func NewRouter(o Options, entries ...Entry) *Router {
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.Reserve = cmp.Or(o.Reserve, 2*time.Second)
	o.Failures = cmp.Or(o.Failures, 5)
	o.Open = cmp.Or(o.Open, time.Minute)
	o.HalfOpen = cmp.Or(o.HalfOpen, 3)
	o.MaxPause = cmp.Or(o.MaxPause, time.Minute)
	names := map[string]bool{}
	for _, e := range entries {
		if e.Weight < 1 || names[e.Provider.Name()] {
			panic("channel: the weight of " + e.Provider.Name() + " is not positive, or its name is taken")
		}
		names[e.Provider.Name()] = true
	}
	circuits, err := simplelru.NewLRU[string, *circuit](maxCircuits+len(entries), nil)
	if err != nil {
		panic("channel: " + err.Error()) // the size is positive
	}
	return &Router{options: o, entries: slices.Clone(entries), circuits: circuits}
}

// Name implements Provider.
func (r *Router) Name() string { return r.options.Channel }

// Empty reports whether the channel has no provider.
func (r *Router) Empty() bool { return len(r.entries) == 0 }

// Serves reports whether there is a provider for an address.
func (r *Router) Serves(a Address) bool {
	return slices.ContainsFunc(r.entries, func(e Entry) bool { return e.serves(a) })
}

func (e Entry) serves(a Address) bool { return e.Platform == "" || e.Platform == a.Platform }

// Send makes one attempt to send a message, for which it may ask several providers in turn: the next one where the one before has failed
// for a while (Transient, Throttled) and cannot have accepted the message, and Options.Reserve is left until the deadline. Providers whose
// breaker is open or that throttle are left out. Where all are left out, one whose breaker is open is asked all the same for a user whose own
// messages have not failed there lately: the breaker may have been opened by messages of others that only their recipients make fail.
//
// Where the outcome at a provider is unknown, no other one is asked. An idempotent provider is asked again, in this attempt if time is
// left, and in the next ones, for which the caller sets Message.Provider to Error.Provider. At any other the message has failed for good:
// the error is Permanent and Uncertain.
//
// Every error is an *Error or one of the context's. The error of an attempt at several providers is the last provider's; where all were
// left out it is Throttled, with the time until the first can be asked again.
func (r *Router) Send(ctx context.Context, m Message) (Receipt, error) {
	order := r.order(m)
	if len(order) == 0 {
		return Receipt{}, &Error{Class: Permanent, Detail: ErrNoProvider.Error(), Cause: ErrNoProvider}
	}
	var last *Error
	wait := time.Duration(math.MaxInt64)
	for i := range 2 * len(order) {
		e, probe := order[i%len(order)], i >= len(order)
		if last != nil && (probe || !r.timeLeft(ctx)) {
			break
		}
		receipt, err, left := r.try(ctx, e, m, r.timeout(ctx, !probe && i < len(order)-1), probe)
		switch {
		case left > 0:
			wait = min(wait, left)
			continue
		case err == nil:
			return receipt, nil
		case ctx.Err() != nil && !err.Uncertain:
			return Receipt{}, fmt.Errorf("sending by %s: %w", e.Provider.Name(), ctx.Err())
		case err.Uncertain || err.Class == Permanent || err.Class == Suppressed:
			return Receipt{}, err
		}
		last = err
	}
	if last == nil {
		return Receipt{}, &Error{Class: Throttled, Detail: "no provider of the channel takes messages now", RetryAfter: wait}
	}
	return Receipt{}, last
}

// timeout bounds the call of one provider. Where others may be asked after it, they are left their time.
func (r *Router) timeout(ctx context.Context, others bool) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok || !others {
		return r.options.Timeout
	}
	return min(r.options.Timeout, max(time.Until(deadline)-r.options.Reserve-reserveSlack, r.options.Reserve))
}

// reserveSlack is how much earlier than Options.Reserve a call ends, so that the next one is within it.
const reserveSlack = 100 * time.Millisecond

func (r *Router) timeLeft(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) >= r.options.Reserve)
}

// order returns the providers that may get a message, the first to ask first.
func (r *Router) order(m Message) []Entry {
	type scored struct {
		Entry
		score float64
	}
	var candidates []scored
	for _, e := range r.entries {
		if e.serves(m.Address) && (m.Provider == "" || m.Provider == e.Provider.Name()) {
			candidates = append(candidates, scored{e, float64(e.Weight) / -math.Log(uniform(m.ID, e.Provider.Name()))})
		}
	}
	slices.SortStableFunc(candidates, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	order := make([]Entry, len(candidates))
	for i, c := range candidates {
		order[i] = c.Entry
	}
	return order
}

// uniform hashes a message's id and a provider's name to a number in (0,1).
func uniform(id, name string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(name))
	x := h.Sum64() // FNV's high bits depend little on its last bytes: mix them (splitmix64)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return (float64(x>>11) + 0.5) / (1 << 53)
}

// try asks one provider, and an idempotent one once more where the outcome is unknown. left is positive if the provider was not asked: the
// time until it may be.
func (r *Router) try(ctx context.Context, e Entry, m Message, timeout time.Duration, probe bool) (receipt Receipt, failed *Error, left time.Duration) {
	receipt, failed, left = r.attempt(ctx, e, m, timeout, probe)
	if left > 0 || failed == nil || !failed.Uncertain {
		return receipt, failed, left
	}
	if !e.Idempotent {
		failed.Class, failed.RetryAfter = Permanent, 0
		failed.Detail = "it is unknown whether the provider has accepted the message, which is not sent twice: " + failed.Detail
		return Receipt{}, failed, 0
	}
	if !r.timeLeft(ctx) {
		return Receipt{}, failed, 0
	}
	unknown := failed
	if receipt, failed, left = r.attempt(ctx, e, m, timeout, probe); left > 0 {
		return Receipt{}, unknown, 0
	}
	if failed != nil && (failed.Class == Transient || failed.Class == Throttled) {
		failed.Uncertain = true // that the provider takes no message now says nothing about the first time
	}
	return receipt, failed, 0
}

// classified returns a provider's error as an *Error with the provider's name; nil for nil.
func classified(name string, err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		detail := "the attempt failed"
		if errors.Is(err, context.DeadlineExceeded) {
			detail = "timeout: the provider has not answered"
		}
		return &Error{Class: Transient, Detail: detail, Uncertain: true, Provider: name, Cause: err}
	}
	copied := *e
	copied.Provider = name
	return &copied
}
