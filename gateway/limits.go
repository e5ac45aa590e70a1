package gateway

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

const (
	// limitPeriod is the window of the general limits (user, ip and global).
	limitPeriod = time.Minute
	// limitTimeout bounds how long a request to an endpoint with a long timeout waits for its tokens.
	limitTimeout = subjects.DefaultTimeout + replyMargin
)

// limits are the rate limits, shared by all gateways.
type limits struct {
	limiter *kv.Limiter
	config  LimitsConfig
	// rejected counts rejected requests by limit.
	rejected map[string]prometheus.Counter
	// userPolicy and ipPolicy are the RateLimit-Policy items of the general limits.
	userPolicy, ipPolicy string
}

func newLimits(l *kv.Limiter, c LimitsConfig, m *metrics) *limits {
	limits := &limits{
		limiter: l, config: c, rejected: map[string]prometheus.Counter{},
		userPolicy: policy("user", c.PerUser, limitPeriod), ipPolicy: policy("ip", c.PerIP, limitPeriod),
	}
	for _, name := range []string{"global", "user", "ip", "endpoint"} {
		limits.rejected[name] = m.limited.WithLabelValues(name)
	}
	return limits
}

// ownLimit is one of an endpoint's own limits with its precomputed names.
type ownLimit struct {
	subjects.Limit
	name, key, policy string
}

func ownLimits(d *subjects.Descriptor) []ownLimit {
	own := make([]ownLimit, 0, len(d.Limits))
	for i, l := range d.Limits {
		name := d.Method
		if i > 0 {
			name += "-" + strconv.Itoa(i+1)
		}
		own = append(own, ownLimit{Limit: l, name: name, key: d.Name() + "." + l.By + ".", policy: policy(name, l.Requests, l.Period)})
	}
	return own
}

// take takes a token from every limit that applies to the request: the endpoint's own first, the global one last. It sets
// RateLimit and RateLimit-Policy for all but the global one (draft-ietf-httpapi-ratelimit-headers). ownOnly replaces the
// limit of the client address by the endpoint's own limits. The error is CodeRateLimited, or CodeUnavailable if the limits
// cannot be reached. A nil l limits nothing.
func (l *limits) take(ctx context.Context, rc *requestContext, own []ownLimit, ownOnly bool) error {
	if l == nil {
		return nil
	}
	ctx, cancel := withinLimitTimeout(ctx)
	defer cancel()
	caller := &rc.caller
	for i := range own {
		limit := &own[i]
		id := caller.user
		if limit.By == "ip" || id == "" {
			id = caller.limitAddress()
		}
		if err := l.takeOne(ctx, rc, limit.name, limit.policy, limit.key+id, limit.Requests, limit.Period, "endpoint"); err != nil {
			return err
		}
	}
	if caller.user != "" {
		err := l.takeOne(ctx, rc, "user", l.userPolicy, "user."+caller.user, l.config.PerUser, limitPeriod, "user")
		if err != nil || caller.charged {
			return err
		}
		return l.takeGlobal(ctx, rc)
	}
	if ownOnly {
		return l.takeGlobal(ctx, rc)
	}
	return l.takePerIP(ctx, rc)
}

// takePerIP takes tokens from the limit of the client address and the global one, at most once for a request. It applies to
// anonymous requests and to the exchange of an API key that is not cached. The errors are those of take.
func (l *limits) takePerIP(ctx context.Context, rc *requestContext) error {
	if l == nil || rc.caller.charged {
		return nil
	}
	ctx, cancel := withinLimitTimeout(ctx)
	defer cancel()
	if err := l.takeOne(ctx, rc, "ip", l.ipPolicy, "ip."+rc.caller.limitAddress(), l.config.PerIP, limitPeriod, "ip"); err != nil {
		return err
	}
	rc.caller.charged = true
	return l.takeGlobal(ctx, rc)
}

func (l *limits) takeGlobal(ctx context.Context, rc *requestContext) error {
	return l.takeOne(ctx, rc, "", "", "global", l.config.Global, limitPeriod, "global")
}

// withinLimitTimeout shortens the deadline of ctx to limitTimeout.
func withinLimitTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > limitTimeout {
		return context.WithTimeout(ctx, limitTimeout)
	}
	return ctx, func() {}
}

// takeOne takes a token from one limit. name is its name in the response headers, or empty to leave them unset; kind is its
// label in the metrics.
func (l *limits) takeOne(
	ctx context.Context, rc *requestContext, name, policy, key string, quota int, period time.Duration, kind string,
) error {
	decision, err := l.limiter.Take(ctx, key, quota, period)
	if err != nil {
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the rate limits are unavailable", RetryAfter: subjects.RetrySoon, Cause: err,
		}
	}
	if name != "" {
		rc.addHeader(headerPolicy, policy)
		rc.addHeader(headerLimit, state(name, decision))
	}
	if decision.Allowed {
		return nil
	}
	l.rejected[kind].Inc()
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "rate limit exceeded: " + strconv.Itoa(quota) + " requests per " + periodText(period) + scopeOfLimit[kind],
		RetryAfter: max(decision.ResetAfter, time.Second),
	}
}

// periodText writes the usual period without its number.
func periodText(period time.Duration) string {
	if period == time.Minute {
		return "minute"
	}
	return period.String()
}

// scopeOfLimit says, by kind, whom a limit counts and which setting it is.
var scopeOfLimit = map[string]string{
	"ip":       " from one address without signing in (gateway.limits.per_ip)",
	"user":     " of one user (gateway.limits.per_user)",
	"global":   " of all callers (gateway.limits.global)",
	"endpoint": " to this endpoint",
}

// Response headers, in net/http's canonical form.
const (
	headerPolicy = "Ratelimit-Policy"
	headerLimit  = "Ratelimit"
)

// policy returns an item of RateLimit-Policy.
func policy(name string, quota int, window time.Duration) string {
	return `"` + name + `";q=` + strconv.Itoa(quota) + `;w=` + strconv.Itoa(int(window.Seconds()))
}

// state returns an item of RateLimit: a lower bound of the remaining requests and the seconds until the window ends.
func state(name string, d kv.Decision) string {
	buf := make([]byte, 0, 48)
	buf = append(buf, '"')
	buf = append(buf, name...)
	buf = append(buf, `";r=`...)
	buf = strconv.AppendInt(buf, int64(d.Remaining), 10)
	buf = append(buf, `;t=`...)
	buf = strconv.AppendInt(buf, int64((d.ResetAfter+time.Second-1)/time.Second), 10)
	return string(buf)
}
