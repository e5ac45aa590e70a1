package actors

import (
	"context"
	"encoding/json"

	"github.com/weftmesh/weft/subjects"
)

// defaultConcurrency is how many messages of a worker a process handles at once.
const defaultConcurrency = 16

// Worker is a durable consumer with its handler.
type Worker struct {
	Consumer subjects.Consumer
	// Concurrency bounds the messages that a process handles at once.
	Concurrency int
	Handle      func(ctx context.Context, data []byte) error
}

// Concurrent returns w with another Concurrency; it is 16 by default.
func (w Worker) Concurrent(n int) Worker {
	w.Concurrency = n
	return w
}

// Work binds a handler to a job. The handler's error decides: nil acknowledges the message; a transient error (unavailable, timeout,
// rate_limited, internal or without a code) redelivers it after the job's backoff; any other error, or a transient one at the last
// delivery, moves it to the dead-letter stream. ErrStepAside leaves it to another process.
func Work[T any](j subjects.Job[T], handler func(context.Context, T) error) Worker {
	return Worker{Consumer: j.Consumer(), Concurrency: defaultConcurrency, Handle: func(ctx context.Context, data []byte) error {
		var job T
		if err := json.Unmarshal(data, &job); err != nil {
			return subjects.Errorf(subjects.CodeInvalid, "decoding the job: %v", err)
		}
		return handler(ctx, job)
	}}
}

// Listen binds a handler to an event, with the same rule for errors as Work. Messages may be delivered more than once, so the handler
// must be idempotent, by the envelope's id or by its effect.
func Listen[T any](s subjects.Subscription[T], handler func(context.Context, subjects.Envelope[T]) error) Worker {
	return Worker{Consumer: s.Consumer(), Concurrency: defaultConcurrency, Handle: func(ctx context.Context, data []byte) error {
		var event subjects.Envelope[T]
		if err := json.Unmarshal(data, &event); err != nil {
			return subjects.Errorf(subjects.CodeInvalid, "decoding the event: %v", err)
		}
		return handler(ctx, event)
	}}
}
