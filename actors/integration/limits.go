package integration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

const (
	// learnWithin bounds how long a call waits while its response's limits are written to the bucket.
	learnWithin = time.Second
	// defaultHold is how long a limit is held after a response that reports "too many requests" without a Retry-After.
	defaultHold = time.Second
	// maxHold bounds the time for which a response may hold a limit.
	maxHold = 24 * time.Hour
	// openLimitsWithin bounds the opening of the bucket.
	openLimitsWithin = 10 * time.Second
	// minPeriod is the shortest period that can be counted over all processes; see kv.Pacer.
	minPeriod = 250 * time.Millisecond
	// maxHeadroom is for how many connections a provider's status reports headroom.
	maxHeadroom = 5
	// pauseRequests and pausePeriod are of the limit that is no limit: that of a provider which declares none. It is held when the
	// provider asks for a pause.
	pauseRequests = 1_000_000
	pausePeriod   = time.Minute
)

// limits enforces providers' rate limits over all processes, so that weft does not send calls that a provider would refuse.
type limits struct {
	pacer  *kv.Pacer
	config map[string]ProviderConfig
	log    *zap.Logger
}

// openLimits opens the bucket that the processes share.
func openLimits(d actors.Deps, config map[string]ProviderConfig) (*limits, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openLimitsWithin)
	defer cancel()
	pacer, err := kv.OpenPacer(ctx, d.Conn.JS, kv.IntegrationLimits)
	if err != nil {
		return nil, fmt.Errorf("opening the limits: %w", err)
	}
	return &limits{pacer: pacer, config: config, log: d.Log}, nil
}

// appliedLimit is a limit as it applies to one call: requests in period, counted under key.
type appliedLimit struct {
	limit    manifest.Limit
	key      string
	requests int
	period   time.Duration
}

// limitExhaustedError means that a limit allows no call before wait has passed.
type limitExhaustedError struct {
	provider string
	limit    appliedLimit
	wait     time.Duration
}

func (e *limitExhaustedError) Error() string {
	return fmt.Sprintf("%s allows %d calls in %s (limit %s), and they are used up", e.provider, e.limit.requests, e.limit.period, e.limit.limit.ID)
}

// coded is the error for callers.
func (e *limitExhaustedError) coded() error {
	detail := e.Error()
	if e.limit.limit.ID == "" {
		detail = e.provider + " asked for a pause"
	}
	return &subjects.Error{Code: subjects.CodeRateLimited, Detail: detail, RetryAfter: max(e.wait, time.Millisecond)}
}

// applying returns the limits that apply to a call to host: the declared ones, or the one without an id, which only a pause that
// the provider asks for exhausts.
func (l *limits) applying(spec callSpec, host string) []appliedLimit {
	declared := spec.action.Limits()
	if len(declared) == 0 {
		return []appliedLimit{{key: "pause " + spec.connectionID, requests: pauseRequests, period: pausePeriod}}
	}
	list := make([]appliedLimit, 0, len(declared))
	for _, limit := range declared {
		list = append(list, l.applied(spec.provider.ID, host, spec.connectionID, limit))
	}
	return list
}

// applied is a limit as it applies to a connection's calls to host, with the operator's number of requests if there is one.
func (l *limits) applied(provider, host, connectionID string, limit manifest.Limit) appliedLimit {
	a := appliedLimit{
		limit: limit, requests: limit.Requests, period: time.Duration(limit.Per), key: limitKey(provider, host, connectionID, limit),
	}
	if n := l.config[provider].Limits[limit.ID]; n > 0 {
		a.requests = n
	}
	if a.period < minPeriod { // the same rate in a longer period
		a.requests = int(max(1, int64(a.requests)*int64(minPeriod)/int64(a.period)))
		a.period = minPeriod
	}
	return a
}

// limitKey is the key that a limit is counted under: the connection's, or the provider's and the host's. It contains the
// host because users may name the host of some providers, and responses of one host must not hold calls to another.
func limitKey(provider, host, connectionID string, limit manifest.Limit) string {
	if limit.OfProvider() {
		return "provider " + provider + " " + host + " " + limit.ID
	}
	return "connection " + connectionID + " " + limit.ID
}

// take takes one request from every limit that applies to a call. It returns a *limitExhaustedError, about the one that takes longest,
// if one of them has none left, and gives back what it has taken. It does not wait.
func (l *limits) take(ctx context.Context, spec callSpec, host string) error {
	list := l.applying(spec, host)
	taken := make([]kv.Pace, 0, len(list))
	var exhausted *limitExhaustedError
	var failed error
	for _, a := range list {
		pace, err := l.pacer.Take(ctx, a.key, a.requests, a.period)
		if err != nil {
			failed = &subjects.Error{
				Code: subjects.CodeUnavailable, Detail: "the rate limits cannot be reached right now", RetryAfter: subjects.RetrySoon, Cause: err,
			}
			break
		}
		taken = append(taken, pace)
		if !pace.Allowed && (exhausted == nil || pace.Wait > exhausted.wait) {
			exhausted = &limitExhaustedError{provider: spec.provider.ID, limit: a, wait: pace.Wait}
		}
	}
	if failed == nil && exhausted == nil {
		return nil
	}
	for i, pace := range taken {
		l.pacer.GiveBack(list[i].key, list[i].period, pace)
	}
	if failed != nil {
		return failed
	}
	return exhausted
}

// learn applies what a response reports about limits, for all processes. Errors are logged only: a later response reports
// the same.
//
// A refusal with a Retry-After (RFC 9110 §10.2.3) holds its limits for that time, also if other header fields say that nothing is
// left until a later time: of two that the provider gives, it is the one that is about this refusal. What header fields report as
// left is kept beside it with its own time.
func (l *limits) learn(ctx context.Context, spec callSpec, host string, o *outcome) {
	limited := o.failed != nil && o.failed.Class == manifest.ClassLimited
	if o.status == 0 {
		return
	}
	list := l.applying(spec, host)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), learnWithin)
	defer cancel()
	hold := defaultHold
	if limited && o.failed.RetryAfter > 0 {
		hold = min(o.failed.RetryAfter, maxHold)
	}
	var errs []error
	if limited {
		for _, a := range limitsToHold(list) {
			errs = append(errs, l.pacer.Hold(ctx, a.key, a.requests, a.period, 0, hold))
		}
	}
	for _, reading := range spec.action.Readings(o.answer) {
		for _, a := range list {
			if a.limit.ID != reading.Limit.ID {
				continue
			}
			reset := reading.Reset
			if reset == 0 {
				reset = min(a.period, time.Minute)
			}
			if limited && reading.Remaining == 0 && o.failed.RetryAfter > 0 {
				reset = hold
			}
			errs = append(errs, l.pacer.Hold(ctx, a.key, a.requests, a.period, reading.Remaining, min(reset, maxHold)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		l.log.Warn("updating rate limits from a response", zap.String("provider", spec.provider.ID), zap.Error(err))
	}
}

// limitsToHold are the limits that a "too many requests" response is attributed to: those that count for the connection,
// or all if there are none.
func limitsToHold(list []appliedLimit) []appliedLimit {
	var own []appliedLimit
	for _, a := range list {
		if !a.limit.OfProvider() {
			own = append(own, a)
		}
	}
	if len(own) == 0 {
		return list
	}
	return own
}

// headroom returns what is left of the limits that apply to a user's connections to a provider. A limit that cannot be read
// is left out.
func (l *limits) headroom(ctx context.Context, p *manifest.Provider, rows []connectionRow) []subjects.LimitHeadroom {
	list := []subjects.LimitHeadroom{}
	for _, limit := range p.Limits {
		for _, c := range rows[:min(len(rows), maxHeadroom)] {
			if c.Host == "" {
				continue
			}
			if h, ok := l.headroomOf(ctx, p, c, limit); ok {
				list = append(list, h)
			}
			if limit.OfProvider() {
				break
			}
		}
	}
	return list
}

func (l *limits) headroomOf(ctx context.Context, p *manifest.Provider, c connectionRow, limit manifest.Limit) (subjects.LimitHeadroom, bool) {
	a := l.applied(p.ID, c.Host, c.ID, limit)
	pace, err := l.pacer.Peek(ctx, a.key, a.requests, a.period)
	if err != nil {
		return subjects.LimitHeadroom{}, false
	}
	h := subjects.LimitHeadroom{
		Limit: limit.ID, Requests: a.requests, Seconds: a.period.Seconds(), Remaining: pace.Remaining, ResetSeconds: pace.Wait.Seconds(),
	}
	if !limit.OfProvider() {
		h.IntegrationID = c.ID
	}
	return h, true
}
