package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

const (
	// learnWithin bounds how long a call waits for what its answer says of limits to be told to other processes.
	learnWithin = time.Second
	// usualHold is how long a limit is left alone by a provider that says "too many" and not for how long.
	usualHold = time.Second
	// maxHold is the longest that a provider's word keeps a limit closed.
	maxHold = 24 * time.Hour
	// openLimitsWithin bounds the opening of the bucket.
	openLimitsWithin = 10 * time.Second
	// minPeriod is the shortest period that is counted over all processes; see kv.Pacer.
	minPeriod = 250 * time.Millisecond
)

// limits keep calls within what providers allow, over all processes: a call that the provider would refuse is not made.
type limits struct {
	pacer  *kv.Pacer
	config map[string]ProviderConfig
	now    func() time.Time
	log    *zap.Logger
	// held is until when a connection is left alone whose provider declares no limits, by this process.
	mu   sync.Mutex
	held map[string]time.Time
}

// openLimits opens the bucket that the processes share.
func openLimits(d actors.Deps, config map[string]ProviderConfig) (*limits, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openLimitsWithin)
	defer cancel()
	pacer, err := kv.OpenPacer(ctx, d.Conn.JS, kv.IntegrationLimits)
	if err != nil {
		return nil, fmt.Errorf("opening the limits: %w", err)
	}
	return &limits{pacer: pacer, config: config, now: d.Now, log: d.Log, held: map[string]time.Time{}}, nil
}

// counted is a limit as it counts one call.
type counted struct {
	limit    manifest.Limit
	key      string
	requests int
	period   time.Duration
}

// throttledError says that a limit has nothing left for a while.
type throttledError struct {
	provider string
	by       counted
	wait     time.Duration
}

func (e *throttledError) Error() string {
	return fmt.Sprintf("%s allows %d calls in %s (%s), and they are used up", e.provider, e.by.requests, e.by.period, e.by.limit.ID)
}

// refusal is what the caller gets who cannot wait.
func (e *throttledError) refusal() error {
	detail := e.Error()
	if e.by.requests == 0 {
		detail = e.provider + " asked for a pause"
	}
	return &subjects.Error{Code: subjects.CodeRateLimited, Detail: detail, RetryAfter: max(e.wait, time.Millisecond)}
}

// count are the limits that count a call to host, as the operator has changed them.
func (l *limits) count(out outgoing, host string) []counted {
	declared := out.action.Limits()
	list := make([]counted, 0, len(declared))
	for _, limit := range declared {
		list = append(list, l.counted(out.provider.ID, host, out.owner, limit))
	}
	return list
}

// counted is a limit as it counts the calls of a connection, or of all, to host.
func (l *limits) counted(provider, host, owner string, limit manifest.Limit) counted {
	c := counted{limit: limit, requests: limit.Requests, period: time.Duration(limit.Per), key: limitKey(provider, host, owner, limit)}
	if n := l.config[provider].Limits[limit.ID]; n > 0 {
		c.requests = n
	}
	if c.period < minPeriod { // as many in a longer period
		c.requests = int(max(1, int64(c.requests)*int64(minPeriod)/int64(c.period)))
		c.period = minPeriod
	}
	return c
}

// limitKey names what shares a limit: a connection, or all that call the provider's host. The host counts because a user may
// name it: what it answers concerns nobody else.
func limitKey(provider, host, owner string, limit manifest.Limit) string {
	if limit.OfProvider() {
		return "provider " + provider + " " + host + " " + limit.ID
	}
	return "connection " + owner + " " + limit.ID
}

// take takes a token of every limit of a call; a *throttledError where one has none left, and then the others' are given
// back. It does not wait.
func (l *limits) take(ctx context.Context, out outgoing, host string) error {
	list := l.count(out, host)
	if len(list) == 0 {
		return l.pause(out)
	}
	for i, c := range list {
		pace, err := l.pacer.Take(ctx, c.key, c.requests, c.period)
		if err != nil || !pace.Allowed {
			for _, given := range list[:i] {
				l.pacer.GiveBack(given.key, given.period)
			}
		}
		if err != nil {
			return &subjects.Error{
				Code: subjects.CodeUnavailable, Detail: "the providers' limits cannot be reached right now", RetryAfter: time.Second, Cause: err,
			}
		}
		if !pace.Allowed {
			return &throttledError{provider: out.provider.ID, by: c, wait: pace.Wait}
		}
	}
	return nil
}

// pause is take where the provider declares no limits.
func (l *limits) pause(out outgoing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.held[out.owner]
	if !ok {
		return nil
	}
	if wait := until.Sub(l.now()); wait > 0 {
		return &throttledError{provider: out.provider.ID, wait: wait}
	}
	delete(l.held, out.owner)
	return nil
}

// learn takes note of what an answer says of limits, for every process. What cannot be told is found out again.
func (l *limits) learn(ctx context.Context, out outgoing, host string, o *outcome) {
	list := l.count(out, host)
	limited := o.failed != nil && o.failed.Class == manifest.ClassLimited
	if o.status == 0 || len(list) == 0 && !limited {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), learnWithin)
	defer cancel()
	hold := usualHold
	if limited && o.failed.RetryAfter > 0 {
		hold = min(o.failed.RetryAfter, maxHold)
	}
	if limited && len(list) == 0 {
		l.mu.Lock()
		l.held[out.owner] = l.now().Add(hold)
		l.mu.Unlock()
		return
	}
	var errs []error
	if limited {
		for _, c := range blamed(list) {
			errs = append(errs, l.pacer.Hold(ctx, c.key, c.requests, c.period, 0, hold))
		}
	}
	for _, reading := range out.action.Readings(o.answer) {
		for _, c := range list {
			if c.limit.ID != reading.Limit.ID {
				continue
			}
			lasts := reading.Reset
			if lasts == 0 {
				lasts = min(c.period, time.Minute)
			}
			errs = append(errs, l.pacer.Hold(ctx, c.key, c.requests, c.period, reading.Remaining, min(lasts, maxHold)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		l.log.Warn("telling what a provider says of its limits", zap.String("provider", out.provider.ID), zap.Error(err))
	}
}

// blamed are the limits that a refusal is taken to be of: a connection's own, or, where there are none, everybody's.
func blamed(list []counted) []counted {
	var own []counted
	for _, c := range list {
		if !c.limit.OfProvider() {
			own = append(own, c)
		}
	}
	if len(own) == 0 {
		return list
	}
	return own
}

// within runs a call through the door, and again while a limit has nothing left and the wait for it is short.
func (a *Actor) within(ctx context.Context, out outgoing, host string, start func(context.Context, func()) error) error {
	patience := a.config.Limits.MaxWait
	for {
		err := out.door(ctx, func(ctx context.Context, started func()) error {
			if err := a.limits.take(ctx, out, host); err != nil {
				return err
			}
			return start(ctx, started)
		})
		var full *throttledError
		if !errors.As(err, &full) {
			return err
		}
		if full.wait > patience || !waitFor(ctx, full.wait) {
			a.metrics.throttled.WithLabelValues(out.provider.ID, "refused").Inc()
			return full.refusal()
		}
		a.metrics.throttled.WithLabelValues(out.provider.ID, "waited").Inc()
		patience -= full.wait
	}
}
