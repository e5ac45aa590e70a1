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
	// limitPeriod is the window of the general limits.
	limitPeriod = time.Minute
	// limitTimeout bounds how long a request of a long endpoint waits for its tokens; the others' own deadline does.
	limitTimeout = subjects.DefaultTimeout + grace
)

// limits are the rate limits over all gateways.
type limits struct {
	limiter *kv.Limiter
	config  LimitsConfig
	refused map[string]prometheus.Counter
	// policies are RateLimit-Policy of a request counted by user and by address.
	byUser, byIP string
}

func newLimits(l *kv.Limiter, c LimitsConfig, m *metrics) *limits {
	limits := &limits{
		limiter: l, config: c, refused: map[string]prometheus.Counter{},
		byUser: policy("user", c.PerUser, limitPeriod), byIP: policy("ip", c.PerIP, limitPeriod),
	}
	for _, name := range []string{"global", "user", "ip", "endpoint"} {
		limits.refused[name] = m.limited.WithLabelValues(name)
	}
	return limits
}

// ownLimit is one of an endpoint's own limits, with its names made in advance.
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

// take takes a token from every limit that the request counts on, the endpoint's own first and the whole last, and
// tells the client's own limits in RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers). The error is
// CodeRateLimited, or CodeUnavailable while the limits are out of reach.
//
// alone has the endpoint's own limits stand in for the general one of the address.
func (l *limits) take(ctx context.Context, x *exchange, own []ownLimit, alone bool) error {
	if l == nil {
		return nil
	}
	ctx, cancel := withinLimitTimeout(ctx)
	defer cancel()
	who := &x.caller
	for i := range own {
		limit := &own[i]
		id := who.user
		if limit.By == "ip" || id == "" {
			id = who.ip()
		}
		if err := l.one(ctx, x, limit.name, limit.policy, limit.key+id, limit.Requests, limit.Period, "endpoint"); err != nil {
			return err
		}
	}
	if who.user != "" {
		err := l.one(ctx, x, "user", l.byUser, "user."+who.user, l.config.PerUser, limitPeriod, "user")
		if err != nil || who.counted {
			return err
		}
		return l.whole(ctx, x)
	}
	if alone {
		return l.whole(ctx, x)
	}
	return l.anyone(ctx, x)
}

// anyone charges the address and the whole for a request, once: for one of nobody's, and for the exchange of a key
// that nothing is known of. The errors are take's.
func (l *limits) anyone(ctx context.Context, x *exchange) error {
	if l == nil || x.caller.counted {
		return nil
	}
	ctx, cancel := withinLimitTimeout(ctx)
	defer cancel()
	if err := l.one(ctx, x, "ip", l.byIP, "ip."+x.caller.ip(), l.config.PerIP, limitPeriod, "ip"); err != nil {
		return err
	}
	x.caller.counted = true
	return l.whole(ctx, x)
}

func (l *limits) whole(ctx context.Context, x *exchange) error {
	return l.one(ctx, x, "", "", "global", l.config.Global, limitPeriod, "global")
}

// withinLimitTimeout shortens a long deadline.
func withinLimitTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > limitTimeout {
		return context.WithTimeout(ctx, limitTimeout)
	}
	return ctx, func() {}
}

func (l *limits) one(
	ctx context.Context, x *exchange, name, policy, key string, most int, period time.Duration, kind string,
) error {
	got, err := l.limiter.Take(ctx, key, most, period)
	if err != nil {
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the rate limits cannot be reached right now", RetryAfter: time.Second, Cause: err,
		}
	}
	if name != "" {
		x.add(headerPolicy, policy)
		x.add(headerLimit, state(name, got))
	}
	if got.Allowed {
		return nil
	}
	l.refused[kind].Inc()
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Detail: "past the limit of " + strconv.Itoa(most) + " requests in " + period.String(),
		RetryAfter: max(got.ResetAfter, time.Second),
	}
}

// add adds an item to a header that is a list.
func (x *exchange) add(name, value string) {
	if h := x.w.Header(); len(h[name]) > 0 {
		h[name] = append(h[name], value)
		return
	}
	x.set(name, value)
}

// Response headers, in net/http's canonical form.
const (
	headerPolicy = "Ratelimit-Policy"
	headerLimit  = "Ratelimit"
)

// policy is one item of RateLimit-Policy.
func policy(name string, quota int, window time.Duration) string {
	return `"` + name + `";q=` + strconv.Itoa(quota) + `;w=` + strconv.Itoa(int(window.Seconds()))
}

// state is one item of RateLimit: what certainly remains, and the seconds until the window ends.
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
