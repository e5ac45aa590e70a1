package gateway

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// replyMargin is added to an endpoint's timeout, so that the actor's own timeout error arrives first and only an actor
	// that does not reply counts as failed.
	replyMargin = 500 * time.Millisecond
	// longTimeout is the timeout above which a route extends the server's read and write deadlines.
	longTimeout = 20 * time.Second
	// maxUserAgent is the length in bytes to which the user agent passed on to the actor is cut.
	maxUserAgent = 512
)

// route is the HTTP route of an endpoint, with everything precomputed that does not depend on the request.
type route struct {
	d        *subjects.Descriptor
	builder  *messageBuilder
	own      []ownLimit
	produces []string
	location *locationTemplate
	// signsIn, refreshes and signsOut are set if the endpoint replies with a session, exchanges a refresh token or ends the session.
	signsIn, refreshes, signsOut bool
}

func (g *Gateway) newRoute(d *subjects.Descriptor) (*route, error) {
	b, err := newMessageBuilder(d, g.proxies, g.config.MaxBody)
	if err != nil {
		return nil, err
	}
	rt := &route{d: d, builder: b, own: ownLimits(d), location: newLocationTemplate(d.Location)}
	rt.signsIn = d.ResponseType == reflect.TypeFor[subjects.Session]()
	rt.refreshes = d.Subject == subjects.RefreshToken.Describe().Subject
	rt.signsOut = d.Subject == subjects.Logout.Describe().Subject
	switch {
	case d.Stream:
		rt.produces = []string{"text/event-stream"}
	case d.Produces != "":
		rt.produces = []string{d.Produces, "application/json"}
		if d.AlsoProduces != "" {
			rt.produces = append(rt.produces, d.AlsoProduces)
		}
	default:
		rt.produces = typeJSON
	}
	return rt, nil
}

// handle answers one request.
func (rt *route) handle(rc *requestContext) error {
	timeout, clientDeadline, invalid := rt.timeout(rc.r)
	if invalid != nil {
		timeout = rt.d.Timeout + replyMargin
	}
	ctx, cancel := context.WithTimeout(rc.ctx, timeout)
	defer cancel()
	if err := rc.admit(ctx, rt.own, rt.d.OwnLimits); err != nil {
		return err
	}
	if err := rc.authorize(rt.d); err != nil {
		return err
	}
	if invalid != nil {
		return invalid
	}
	if rt.signsIn {
		if _, err := rc.wantsCookies(); err != nil {
			return err
		}
	}
	if rt.refreshes && rc.r.ContentLength == 0 && rc.hasSessionCookies() {
		return rt.refreshBrowserSession(ctx, rc)
	}
	if accept := rc.r.Header["Accept"]; len(accept) > 0 && !rt.ignoresAccept() && !acceptable(accept, rt.produces) {
		return subjects.Errorf(subjects.CodeNotAcceptable, "this operation produces %s", strings.Join(rt.produces, " or "))
	}
	rc.body = body{budgets: &rc.g.budgets, caller: &rc.caller, max: rt.builder.maxBody, factor: bodyFactor}
	defer rc.body.release()
	data, err := rt.builder.build(rc.w, rc.r, &rc.body)
	if err != nil {
		return err
	}
	rc.body.keep(len(data))
	header, err := rt.header(rc)
	if err != nil {
		return err
	}
	if timeout > longTimeout {
		rc.extendDeadlines(timeout)
	}
	reply, err := rc.g.forward(ctx, rt.d, header, data, clientDeadline)
	rc.copyMarks(reply)
	if err != nil {
		return err
	}
	if rt.d.Parts {
		return rt.download(rc, header, data, reply)
	}
	if rt.d.Body.Upload != nil {
		if reply, err = rt.upload(rc, header, reply); err != nil {
			return err
		}
	}
	return rt.reply(rc, reply)
}

// ignoresAccept reports whether the Accept header is not checked. An endpoint that takes the raw query or body is called by
// third-party software that does not interpret the response; a file has the type that it has.
func (rt *route) ignoresAccept() bool {
	return rt.builder.rawQuery != nil || rt.d.Body.Kind == subjects.BodyRaw || rt.d.Parts
}

// header returns the header of the NATS message: those of the HTTP headers that an actor may see.
func (rt *route) header(rc *requestContext) (nats.Header, error) {
	h := make(nats.Header, 8)
	values := rc.r.Header["Authorization"]
	switch {
	case rt.builder.includeHeaders && rt.d.Access.Anyone:
		// It is not weft's token: it authenticates a delivery and goes into the message with the other headers.
	case rc.caller.token != "":
		h[mesh.HeaderAuthorization] = []string{"Bearer " + rc.caller.token}
	case len(values) == 1 && rc.caller.apiKey == "":
		h[mesh.HeaderAuthorization] = values
	}
	if keys := rc.r.Header["Idempotency-Key"]; len(keys) > 0 && rt.d.Mutating {
		if len(keys) > 1 || !mesh.ValidIdempotencyKey(keys[0]) {
			return nil, subjects.InvalidField(mesh.HeaderIdempotencyKey, "expected one key of 1 to %d printable ASCII characters", mesh.MaxIdempotencyKey)
		}
		h[mesh.HeaderIdempotencyKey] = keys
	}
	if rt.d.Origin {
		h[mesh.HeaderClientIP] = []string{rc.caller.address.String()}
		agent := rc.r.UserAgent()
		h[mesh.HeaderUserAgent] = []string{agent[:min(len(agent), maxUserAgent)]}
	}
	if rt.d.GPC && signalsGPC(rc.r.Header) {
		h[mesh.HeaderGPC] = []string{gpcOn}
	}
	return h, nil
}

// timeout returns how long to wait for the reply: the endpoint's timeout plus replyMargin, or the client's Request-Timeout
// if that is shorter.
func (rt *route) timeout(r *http.Request) (timeout time.Duration, clientDeadline bool, err error) {
	timeout = rt.d.Timeout + replyMargin
	values := r.Header["Request-Timeout"]
	if len(values) == 0 {
		return timeout, false, nil
	}
	seconds, err := strconv.ParseFloat(values[0], 64)
	if err != nil || !(seconds > 0) || len(values) > 1 {
		return 0, false, subjects.InvalidField("Request-Timeout", "expected a positive number of seconds")
	}
	if seconds >= timeout.Seconds() {
		return timeout, false, nil
	}
	return max(time.Millisecond, time.Duration(seconds*float64(time.Second))), true, nil
}

// extendDeadlines moves the server's read and write deadlines past a long timeout.
func (rc *requestContext) extendDeadlines(timeout time.Duration) {
	control := http.NewResponseController(rc.w)
	// Errors are ignored: a ResponseRecorder has no deadlines.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(timeout + writeTimeout))
}
