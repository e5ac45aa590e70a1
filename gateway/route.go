package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// grace is how much longer than the actor the gateway waits, so that the actor's own time-out is what a caller reads
	// and only its silence counts against it.
	grace = 500 * time.Millisecond
	// longTimeout is from where on a route extends the server's own deadlines.
	longTimeout = 20 * time.Second
	// maxUserAgent bounds what of the user agent goes on to the actor, in bytes.
	maxUserAgent = 512
	// maxIdempotencyKey bounds an Idempotency-Key, in bytes.
	maxIdempotencyKey = 255
)

// route is an endpoint as HTTP reaches it, with everything worked out that does not depend on the request.
type route struct {
	d        *subjects.Descriptor
	builder  *builder
	own      []ownLimit
	breaker  *breaker
	produces []string
	location *template
}

func (g *Gateway) newRoute(d *subjects.Descriptor) (*route, error) {
	b, err := newBuilder(d, g.config.MaxBody)
	if err != nil {
		return nil, err
	}
	b.origins = g.origins
	rt := &route{d: d, builder: b, own: ownLimits(d), breaker: g.breakers[d.Actor], location: newTemplate(d.Location)}
	switch {
	case d.Stream:
		rt.produces = []string{"text/event-stream"}
	case d.Produces != "":
		rt.produces = []string{d.Produces, "application/json"}
	default:
		rt.produces = typeJSON
	}
	return rt, nil
}

// handle answers one request of the route.
func (rt *route) handle(x *exchange) error {
	wait, short, err := rt.timeout(x.r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.ctx, wait)
	defer cancel()
	if err := x.admit(ctx, rt.own, rt.d.OwnLimits); err != nil {
		return err
	}
	if err := x.authorize(rt.d.Access); err != nil {
		return err
	}
	// Who sends the whole query or raw bytes is a machine that does not look at what it is answered.
	// And who asks for a file takes it as it is.
	prescribed := rt.builder.rawQuery != nil || rt.d.Body.Kind == subjects.BodyRaw || rt.d.Parts
	if accept := x.r.Header["Accept"]; len(accept) > 0 && !prescribed && !acceptable(accept, rt.produces) {
		return subjects.Errorf(subjects.CodeNotAcceptable, "this answers with %s", strings.Join(rt.produces, " or "))
	}
	data, err := rt.builder.build(x.w, x.r)
	if err != nil {
		return err
	}
	header, err := rt.header(x)
	if err != nil {
		return err
	}
	if wait > longTimeout {
		x.extend(wait)
	}
	reply, err := x.g.forward(ctx, rt, header, data, short)
	x.markReplayed(reply)
	if err != nil {
		return err
	}
	if rt.d.Parts {
		return rt.download(x, header, data, reply)
	}
	if rt.d.Body.Upload != nil {
		if reply, err = rt.upload(x, header, reply); err != nil {
			return err
		}
	}
	return rt.reply(x, reply)
}

// header is the message's: what of the request's headers an actor may see.
func (rt *route) header(x *exchange) (nats.Header, error) {
	h := make(nats.Header, 8)
	values := x.r.Header["Authorization"]
	switch {
	case rt.builder.withHeaders && rt.d.Access.Anyone:
		// It is the delivery's own and goes with the other headers.
	case x.caller.token != "":
		h[mesh.HeaderAuthorization] = []string{"Bearer " + x.caller.token}
	case len(values) == 1 && x.caller.key == "":
		h[mesh.HeaderAuthorization] = values
	}
	if keys := x.r.Header["Idempotency-Key"]; len(keys) > 0 && rt.d.Mutating {
		if len(keys) > 1 || !saneKey(keys[0]) {
			return nil, subjects.InvalidField(mesh.HeaderIdempotencyKey, "give one key of 1 to %d printable ASCII characters", maxIdempotencyKey)
		}
		h[mesh.HeaderIdempotencyKey] = keys
	}
	if rt.d.Origin {
		h[mesh.HeaderClientIP] = []string{x.caller.address.String()}
		agent := x.r.UserAgent()
		h[mesh.HeaderUserAgent] = []string{agent[:min(len(agent), maxUserAgent)]}
	}
	return h, nil
}

func saneKey(key string) bool {
	if key == "" || len(key) > maxIdempotencyKey {
		return false
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}

// timeout is how long to wait: the endpoint's time and the grace, or less where the client says so.
func (rt *route) timeout(r *http.Request) (wait time.Duration, short bool, err error) {
	wait = rt.d.Timeout + grace
	values := r.Header["Request-Timeout"]
	if len(values) == 0 {
		return wait, false, nil
	}
	seconds, err := strconv.ParseFloat(values[0], 64)
	if err != nil || !(seconds > 0) || len(values) > 1 {
		return 0, false, subjects.InvalidField("Request-Timeout", "expected seconds, more than zero")
	}
	if seconds >= wait.Seconds() {
		return wait, false, nil
	}
	return max(time.Millisecond, time.Duration(seconds*float64(time.Second))), true, nil
}

// extend moves the server's deadlines past a wait that is long by contract.
func (x *exchange) extend(wait time.Duration) {
	control := http.NewResponseController(x.w)
	// A recorder in a test has no deadlines to move.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(wait + writeTimeout))
}

// forward sends a message behind the actor's breaker; what the actor refuses comes with its reply. short says that the deadline is the client's own.
func (g *Gateway) forward(ctx context.Context, rt *route, h nats.Header, data []byte, short bool) (*nats.Msg, error) {
	var done func(error)
	if rt.breaker != nil {
		var err error
		if done, err = rt.breaker.allow(ctx, g.Conn); err != nil {
			return nil, err
		}
	}
	reply, err := g.Conn.Forward(ctx, rt.d.Subject, h, data)
	if done != nil {
		outcome := err
		if err != nil && (short || context.Cause(ctx) == context.Canceled) && !noResponders(err) { //nolint:errorlint // the cause itself
			outcome = errShort
		}
		done(outcome)
	}
	return reply, err
}

// acceptable tells whether an Accept header lets one of the types through (RFC 9110 §12.5.1).
func acceptable(accept, produces []string) bool {
	if accept[0] == "*/*" || accept[0] == produces[0] {
		return true
	}
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		if refusedByQuality(params) {
			continue
		}
		media = strings.ToLower(strings.TrimSpace(media))
		for _, p := range produces {
			kind, _, _ := strings.Cut(p, "/")
			base, _, _ := strings.Cut(p, ";")
			if media == "*/*" || media == base || media == kind+"/*" {
				return true
			}
		}
	}
	return strings.TrimSpace(strings.Join(accept, "")) == ""
}

func refusedByQuality(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			return err == nil && q == 0
		}
	}
	return false
}
