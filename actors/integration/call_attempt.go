package integration

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// call makes the requests that precede the action's own, and then that one. It ends with the first that is refused or
// fails.
func (e *callExecutor) call(ctx context.Context, spec callSpec) *outcome {
	spec.steps = map[string]any{}
	retries := 0
	for _, step := range spec.action.Before {
		preceding := spec
		preceding.action = step.Action
		o := e.send(ctx, preceding)
		retries += o.attempts - 1
		if o.refused == nil && o.failed == nil && spec.recheck != nil {
			o.refused = spec.recheck(ctx)
		}
		if o.refused != nil || o.failed != nil {
			return o
		}
		spec.steps[step.ID] = o.output
	}
	o := e.send(ctx, spec)
	o.attempts += retries
	return o
}

// send makes one request, with retries as its safety and the provider's policy allow.
func (e *callExecutor) send(ctx context.Context, spec callSpec) *outcome {
	o := &outcome{}
	request, err := spec.action.Request(spec.connection, manifest.Call{
		Input: spec.input, Object: e.objectSource(ctx), Before: spec.steps, IdempotencyKey: spec.identity.key, At: e.Now(),
	})
	if err != nil {
		o.refused = buildError(spec.action, err)
		return o
	}
	o.safety, o.host = request.Safety, request.Host
	if spec.identity.repeated && o.safety == egress.WriteOnce {
		o.refused = &subjects.Error{
			Code: subjects.CodeConflict, Detail: "the outcome of " + spec.action.ID + " is unknown, and it must not be repeated",
			Fields: []subjects.FieldError{{Field: "call_key", Message: "may have been done already", Code: subjects.FieldUnknownOutcome}},
		}
		return o
	}
	if t := e.config.Providers[spec.provider.ID].Timeout; t > 0 {
		request.Timeout = t
	}
	policy := e.policy(spec.provider)
	for {
		o.attempts++
		e.attempt(ctx, spec, request, o)
		if o.refused != nil || o.failed == nil {
			return o
		}
		wait, again := policy.Next(egress.Outcome{
			Safety: request.Safety, Attempt: o.attempts, Err: o.err, Status: o.status, RetryAfter: o.failed.RetryAfter,
			Limited:     o.failed.Class == manifest.ClassLimited,
			Unavailable: o.failed.Class == manifest.ClassUnavailable && o.err == nil,
		})
		if again && o.failed.Class == manifest.ClassLimited && spec.returnsWait(wait) {
			o.failed.RetryAfter = wait
			return o
		}
		if !again || !sleep(ctx, wait) {
			return o
		}
		if spec.recheck != nil {
			if err := spec.recheck(ctx); err != nil {
				o.refused = err
				return o
			}
		}
	}
}

// attempt sends the request once, if limits, guard and breaker allow, and sets its result in o.
func (e *callExecutor) attempt(ctx context.Context, spec callSpec, request *manifest.Request, o *outcome) {
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("weft/integration").Start(ctx,
		spec.provider.ID+"."+spec.action.ID, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("weft.provider", spec.provider.ID), attribute.String("weft.action", spec.action.ID),
			attribute.String("server.address", request.Host), attribute.Int("weft.attempt", o.attempts)))
	defer span.End()
	var response *egress.Response
	var object map[string]any
	if request.ToObject {
		request.Sink = e.objectSink(ctx, spec, request.URL, func(o objectRow) { object = objectReference(o) })
	}
	err := e.withinLimits(ctx, spec, request.Host, func(ctx context.Context, started func()) error {
		report, err := e.breakers.Allow(spec.provider.ID, request.Host)
		if err != nil {
			return err
		}
		send := request.Request
		send.Started, send.Permit = started, func() error { return actors.Permit(ctx) }
		response, err = e.client.Do(ctx, send)
		report(response, err)
		return err
	})
	o.output, o.failed, o.err, o.status, o.answer = nil, nil, nil, 0, manifest.Answer{}
	var coded *subjects.Error
	switch {
	case errors.As(err, &coded):
		o.refused = err
	case err != nil:
		o.err, o.failed = err, manifest.Unanswered(err)
	default:
		o.status, o.requestID = response.Status, requestIDOf(response.Header)
		o.answer = manifest.Answer{Status: response.Status, Header: response.Header, Body: response.Body, Object: object, At: e.Now()}
		// The call has been made: its result is read also where the caller does not wait any more.
		_ = compute.Default.DoLarge(context.WithoutCancel(ctx), cmp.Or(actors.CallerFrom(ctx).UserID, spec.connectionID), len(response.Body), func() {
			o.output, o.failed = spec.action.Interpret(spec.connection, spec.input, o.answer)
		})
		e.limits.learn(ctx, spec, request.Host, o)
	}
	span.SetAttributes(attribute.String("weft.result", o.class()), attribute.Int("http.response.status_code", o.status))
}

// withinLimits starts a call through its guard once its rate limits allow it. It waits for an exhausted limit up to
// Limits.MaxWait in total, and otherwise returns CodeRateLimited.
func (e *callExecutor) withinLimits(ctx context.Context, spec callSpec, host string, start func(context.Context, func()) error) error {
	waitLeft := e.config.Limits.MaxWait
	for {
		err := spec.guard(ctx, func(ctx context.Context, started func()) error {
			if err := e.limits.take(ctx, spec, host); err != nil {
				return err
			}
			return start(ctx, started)
		})
		var exhausted *limitExhaustedError
		if !errors.As(err, &exhausted) {
			return err
		}
		if exhausted.wait > waitLeft || spec.returnsWait(exhausted.wait) || !sleep(ctx, exhausted.wait) {
			e.metrics.throttled.WithLabelValues(spec.provider.ID, "refused").Inc()
			return exhausted.coded()
		}
		e.metrics.throttled.WithLabelValues(spec.provider.ID, "waited").Inc()
		waitLeft -= exhausted.wait
	}
}

// policy is the retry policy for a provider: for each value the operator's, or the manifest's, or the default.
func (e *callExecutor) policy(p *manifest.Provider) egress.Policy {
	own, usual := e.config.Providers[p.ID], e.config.Retry
	return egress.Policy{
		Attempts:   cmp.Or(own.Attempts, p.Retry.Attempts, usual.Attempts),
		Backoff:    cmp.Or(own.Backoff, time.Duration(p.Retry.Backoff), usual.Backoff),
		MaxBackoff: cmp.Or(time.Duration(p.Retry.MaxBackoff), usual.MaxBackoff), MaxRetryAfter: usual.MaxRetryAfter, Jitter: e.jitter,
	}
}

// inputField is the field of a request that the fields of an action's input are below; those of a proxied request are its own.
func inputField(action *manifest.Action) string {
	if action.ID == manifest.ProxyID {
		return ""
	}
	return "input"
}

// buildError is the coded error for a connection and an input of which no request can be built.
func buildError(action *manifest.Action, err error) error {
	var field *manifest.InputError
	if errors.As(err, &field) {
		return invalidFields(inputField(action), err)
	}
	var coded *subjects.Error
	if errors.As(err, &coded) {
		return err
	}
	return &subjects.Error{
		Code: subjects.CodeConflict, Detail: "no request can be built from the connection and the input: " + err.Error(), Cause: err,
	}
}
