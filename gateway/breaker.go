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

// probeTimeout bounds the health check that a half-open breaker makes.
const probeTimeout = time.Second

// errClientDeadline marks a timeout that the client requested. It is not counted.
var errClientDeadline = errors.New("the client's deadline passed")

// breaker is the circuit breaker of an actor. It opens when the actor has no responders or lets deadlines pass; an error
// that the actor replies with, even "unavailable", does not count as a failure. When half open, it sends the actor's health
// check and admits requests only once that is answered.
type breaker struct {
	actor   string
	open    time.Duration
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
}

func newBreaker(actor string, c BreakerConfig, m *metrics) *breaker {
	state := m.breaker.WithLabelValues(actor)
	state.Set(0)
	return &breaker{actor: actor, open: c.Open, circuit: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: actor, MaxRequests: 1, Timeout: c.Open,
		ReadyToTrip:   func(n gobreaker.Counts) bool { return int64(n.ConsecutiveFailures) >= int64(c.Failures) },
		IsSuccessful:  func(err error) bool { return !unanswered(err) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errClientDeadline) },
		OnStateChange: func(_ string, _, to gobreaker.State) { state.Set(float64(to)) },
	})}
}

// unanswered reports whether the actor did not reply. Only transport errors of package mesh have these causes.
func unanswered(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}

// noResponders reports whether no process serves the subject.
func noResponders(err error) bool { return errors.Is(err, nats.ErrNoResponders) }

// allow asks for permission to call the actor. done must be called with the call's error. The error is CodeUnavailable.
func (b *breaker) allow(ctx context.Context, conn *mesh.Conn) (done func(error), err error) {
	if b.circuit.State() == gobreaker.StateHalfOpen {
		if err := b.probe(ctx, conn); err != nil {
			return nil, err
		}
	}
	if done, err = b.circuit.Allow(); err != nil {
		return nil, b.openError(err)
	}
	return done, nil
}

// probe sends the actor's health check, which closes the breaker or opens it again.
func (b *breaker) probe(ctx context.Context, conn *mesh.Conn) error {
	done, err := b.circuit.Allow()
	if err != nil {
		return b.openError(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	_, err = conn.Forward(ctx, subjects.HealthChecks[b.actor].Subject, nats.Header{}, nil)
	done(err)
	if unanswered(err) {
		return b.openError(err)
	}
	return nil
}

func (b *breaker) openError(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: b.actor + " is unavailable", RetryAfter: b.open, Cause: cause,
	}
}
