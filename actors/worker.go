package actors

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/weftmesh/weft/subjects"
)

// Worker is a durable with its handler.
type Worker struct {
	Consumer    subjects.Consumer
	Concurrency int
	Handle      func(ctx context.Context, data []byte) error
}

// Concurrent sets how many messages the process works off at once: 16 unless set.
func (w Worker) Concurrent(n int) Worker {
	w.Concurrency = n
	return w
}

// ErrStepAside is the error of a handler that finds another process at work on the same message: this delivery is
// not settled, since settling it would settle the other's too.
var ErrStepAside = errors.New("another process works on this message")

// Work binds a handler to a job. Its error decides: nil acknowledges; a code that can pass (unavailable,
// timeout, rate_limited, internal) brings the message back after the job's backoff; any other, or one
// try too many, moves it to the dead-letter stream.
func Work[T any](j subjects.Job[T], handler func(context.Context, T) error) Worker {
	return Worker{Consumer: j.Consumer(), Concurrency: 16, Handle: func(ctx context.Context, data []byte) error {
		var job T
		if err := json.Unmarshal(data, &job); err != nil {
			return subjects.Errorf(subjects.CodeInvalid, "the job cannot be read: %v", err)
		}
		return handler(ctx, job)
	}}
}

// Listen binds a handler to an event, with the same rule for errors as Work. A message may come again:
// the handler is idempotent by the envelope's id, or by what it does.
func Listen[T any](s subjects.Subscription[T], handler func(context.Context, subjects.Envelope[T]) error) Worker {
	return Worker{Consumer: s.Consumer(), Concurrency: 16, Handle: func(ctx context.Context, data []byte) error {
		var event subjects.Envelope[T]
		if err := json.Unmarshal(data, &event); err != nil {
			return subjects.Errorf(subjects.CodeInvalid, "the event cannot be read: %v", err)
		}
		return handler(ctx, event)
	}}
}
