package integration

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// door lets one attempt start, or does not; started is to be called once it cannot be held back any more.
type door func(ctx context.Context, start func(ctx context.Context, started func()) error) error

// openDoor is for probes of credentials that their owner hands over at this moment.
func openDoor(ctx context.Context, start func(context.Context, func()) error) error {
	return start(ctx, func() {})
}

// guarded is the door of what is done under a consent to integrations.execute.
func (a *Actor) guarded(grant mesh.Grant) door {
	return func(ctx context.Context, start func(context.Context, func()) error) error {
		return a.Guard.Do(ctx, grant, subjects.ScopeIntegrationsExecute, start)
	}
}

// outgoing is a call to be made.
type outgoing struct {
	provider *manifest.Provider
	action   *manifest.Action
	link     manifest.Connection
	// owner is the connection's id: whom a limit counts for.
	owner    string
	input    map[string]any
	identity callIdentity
	door     door
	// again is asked before each further attempt whether the connection may still be used; nil is yes.
	again func(context.Context) error
	// before is what the action's steps yielded.
	before map[string]any
}

// callIdentity tells a call from any other: by a key that is stable over attempts. repeated: its caller may have made it
// before, and does not know what came of it.
type callIdentity struct {
	key      string
	repeated bool
}

// outcome is what became of a call. One of output, failed and refused counts.
type outcome struct {
	output any
	// failed is the provider's error or the want of an answer; err is egress's, where there was no answer.
	failed *manifest.CallError
	err    error
	// refused is weft's own no, a *subjects.Error: nothing was sent in the last attempt.
	refused   error
	status    int
	answer    manifest.Answer
	attempts  int
	safety    egress.Safety
	host      string
	requestID string
	// link is what the last attempt was made with.
	link manifest.Connection
}

// class is the outcome as metrics and the log name it.
func (o *outcome) class() string {
	switch {
	case o.refused != nil:
		return classRefused
	case o.failed != nil:
		return string(o.failed.Class)
	}
	return callOK
}

// call makes a call: the requests that come before the action's own, then that one. What is refused or fails ends it.
func (a *Actor) call(ctx context.Context, out outgoing) *outcome {
	out.before = map[string]any{}
	repeats := 0
	for _, step := range out.action.Before {
		own := out
		own.action = step.Action
		o := a.send(ctx, own)
		repeats += o.attempts - 1
		if o.refused == nil && o.failed == nil && out.again != nil {
			o.refused = out.again(ctx)
		}
		if o.refused != nil || o.failed != nil {
			return o
		}
		out.before[step.ID] = o.output
	}
	o := a.send(ctx, out)
	o.attempts += repeats
	return o
}

// send makes one request, repeated as its safety and the provider's policy allow.
func (a *Actor) send(ctx context.Context, out outgoing) *outcome {
	o := &outcome{}
	request, err := out.action.Request(out.link, manifest.Call{
		Input: out.input, Object: a.fileFor(ctx), Before: out.before, IdempotencyKey: out.identity.key, At: a.Now(),
	})
	if err != nil {
		o.refused = unbuildable(err)
		return o
	}
	o.safety, o.host = request.Safety, request.Host
	if out.identity.repeated && o.safety == egress.WriteOnce {
		o.refused = &subjects.Error{
			Code: subjects.CodeConflict, Detail: "whether " + out.action.ID + " was done is unknown, and it must not be repeated",
			Fields: []subjects.FieldError{{Field: "call_key", Message: "may have been done already", Code: subjects.FieldUnknownOutcome}},
		}
		return o
	}
	if t := a.config.Providers[out.provider.ID].Timeout; t > 0 {
		request.Timeout = t
	}
	policy := a.policy(out.provider)
	for {
		o.attempts++
		a.attempt(ctx, out, request, o)
		if o.refused != nil || o.failed == nil {
			return o
		}
		wait, again := policy.Next(egress.Outcome{
			Safety: request.Safety, Attempt: o.attempts, Err: o.err, Status: o.status, RetryAfter: o.failed.RetryAfter,
			Limited:     o.failed.Class == manifest.ClassLimited,
			Unavailable: o.failed.Class == manifest.ClassUnavailable && o.err == nil,
		})
		if !again || !waitFor(ctx, wait) {
			return o
		}
		if out.again != nil {
			if err := out.again(ctx); err != nil {
				o.refused = err
				return o
			}
		}
	}
}

// attempt sends the request once, through the door and the breaker, and says in o what came of it.
func (a *Actor) attempt(ctx context.Context, out outgoing, request *manifest.Request, o *outcome) {
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("weft/integration").Start(ctx,
		out.provider.ID+"."+out.action.ID, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("weft.provider", out.provider.ID), attribute.String("weft.action", out.action.ID),
			attribute.String("server.address", request.Host), attribute.Int("weft.attempt", o.attempts)))
	defer span.End()
	var response *egress.Response
	var object map[string]any
	if request.ToObject {
		request.Sink = a.sinkFor(ctx, out, request.URL, func(o objectRow) { object = referenceTo(o) })
	}
	err := a.within(ctx, out, request.Host, func(ctx context.Context, started func()) error {
		report, err := a.breakers.Allow(out.provider.ID, request.Host)
		if err != nil {
			return err
		}
		send := request.Request
		send.Started = started
		response, err = a.client.Do(ctx, send)
		report(response, err)
		return err
	})
	o.output, o.failed, o.err, o.status, o.answer = nil, nil, nil, 0, manifest.Answer{}
	var refusal *subjects.Error
	switch {
	case errors.As(err, &refusal):
		o.refused = err
	case err != nil:
		o.err, o.failed = err, manifest.Unanswered(err)
	default:
		o.status, o.requestID = response.Status, requestIDOf(response.Header)
		o.answer = manifest.Answer{Status: response.Status, Header: response.Header, Body: response.Body, Object: object, At: a.Now()}
		o.output, o.failed = out.action.Interpret(out.link, out.input, o.answer)
		a.limits.learn(ctx, out, request.Host, o)
	}
	span.SetAttributes(attribute.String("weft.result", o.class()), attribute.Int("http.response.status_code", o.status))
}

// policy is the operator's word, then the manifest's, then the default.
func (a *Actor) policy(p *manifest.Provider) egress.Policy {
	own, usual := a.config.Providers[p.ID], a.config.Retry
	return egress.Policy{
		Attempts:   firstSet(own.Attempts, p.Retry.Attempts, usual.Attempts),
		Backoff:    firstSet(own.Backoff, time.Duration(p.Retry.Backoff), usual.Backoff),
		MaxBackoff: firstSet(time.Duration(p.Retry.MaxBackoff), usual.MaxBackoff), MaxRetryAfter: usual.MaxRetryAfter, Jitter: a.jitter,
	}
}

func firstSet[T int | time.Duration](values ...T) T {
	for _, v := range values {
		if v != 0 {
			return v
		}
	}
	return 0
}

// waitFor waits, unless ctx ends before the wait does: then it tells so at once.
func waitFor(ctx context.Context, wait time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// unbuildable says why a request cannot be made of a connection and an input.
func unbuildable(err error) error {
	var field *manifest.InputError
	if errors.As(err, &field) {
		return invalidFields("input", err)
	}
	var own *subjects.Error
	if errors.As(err, &own) {
		return err
	}
	return &subjects.Error{Code: subjects.CodeConflict, Detail: "the connection and the input make no request: " + err.Error(), Cause: err}
}

// breakerStates is each provider's worst breaker as the gauge shows it.
func (a *Actor) breakerStates() map[string]float64 {
	ids := a.shelf.ids()
	worst := make(map[string]float64, len(ids))
	for _, id := range ids {
		worst[id] = stateRank[worstState(a.breakers.States(id))]
	}
	return worst
}

var stateRank = map[string]float64{breakerClosed: 0, "half_open": 1, "open": 2}

const breakerClosed = "closed"

func worstState(hosts map[string]string) string {
	worst := breakerClosed
	for _, state := range hosts {
		if stateRank[state] > stateRank[worst] {
			worst = state
		}
	}
	return worst
}
