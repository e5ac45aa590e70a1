package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/sony/gobreaker/v2"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// probeTimeout bounds the health check that decides whether a breaker closes.
const probeTimeout = time.Second

// errShort marks a time-out that the client asked for: it says nothing about the actor.
var errShort = errors.New("the client's own deadline")

// breaker stops asking an actor that does not answer: nobody serves it, or it lets deadlines pass. What an actor
// answers, be it "unavailable", never opens it. Half open, it asks the actor's health check, which takes a second
// at the most, and lets nothing else through.
type breaker struct {
	actor string
	open  time.Duration
	gate  *gobreaker.TwoStepCircuitBreaker[struct{}]
}

func newBreaker(actor string, c BreakerConfig, m *metrics) *breaker {
	state := m.breaker.WithLabelValues(actor)
	state.Set(0)
	return &breaker{actor: actor, open: c.Open, gate: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: actor, MaxRequests: 1, Timeout: c.Open,
		ReadyToTrip:   func(n gobreaker.Counts) bool { return int64(n.ConsecutiveFailures) >= int64(c.Failures) },
		IsSuccessful:  func(err error) bool { return !unanswered(err) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errShort) },
		OnStateChange: func(_ string, _, to gobreaker.State) { state.Set(float64(to)) },
	})}
}

// unanswered tells a silent actor from one that answered with a problem: only what mesh says of the transport
// has one of these causes.
func unanswered(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}

// allow asks to call the actor; done takes the call's outcome. The error is CodeUnavailable.
func (b *breaker) allow(ctx context.Context, conn *mesh.Conn) (done func(error), err error) {
	if b.gate.State() == gobreaker.StateHalfOpen {
		if err := b.probe(ctx, conn); err != nil {
			return nil, err
		}
	}
	if done, err = b.gate.Allow(); err != nil {
		return nil, b.refusal(err)
	}
	return done, nil
}

// probe asks the actor's health check and closes the breaker, or opens it again.
func (b *breaker) probe(ctx context.Context, conn *mesh.Conn) error {
	done, err := b.gate.Allow()
	if err != nil {
		return b.refusal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	_, err = conn.Forward(ctx, subjects.HealthChecks[b.actor].Subject, nats.Header{}, nil)
	done(err)
	if unanswered(err) {
		return b.refusal(err)
	}
	return nil
}

// noResponders tells that nobody serves the subject.
func noResponders(err error) bool { return errors.Is(err, nats.ErrNoResponders) }

func (b *breaker) refusal(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: b.actor + " does not answer right now", RetryAfter: b.open, Cause: cause,
	}
}
