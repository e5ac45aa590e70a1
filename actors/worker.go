package actors

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/weftmesh/weft/subjects"
)

// defaultConcurrency is how many messages of a worker a process handles at once.
const defaultConcurrency = 16

// Worker is a durable consumer with its handler.
type Worker struct {
	Consumer subjects.Consumer
	// Concurrency bounds the messages that a process handles at once; half as many again may be handled of those that were deferred.
	// It is shared fairly between the users whom messages concern.
	Concurrency int
	// User returns the user whom a message concerns, by whom the runtime is fair; empty if it names none. Nil: no message names one.
	User   func(data []byte) string
	Handle func(ctx context.Context, data []byte) error
}

// Concurrent returns w with another Concurrency; it is 16 by default.
func (w Worker) Concurrent(n int) Worker {
	w.Concurrency = n
	return w
}

// Work binds a handler to a job. The handler's error decides: nil acknowledges the message; a transient error (unavailable, timeout,
// rate_limited, internal or without a code) defers it until the job's backoff, or the error's RetryAfter, has passed; any other error,
// or a transient one at the last try, moves it to the dead-letter stream. ErrStepAside leaves it to another process.
func Work[T any](j subjects.Job[T], handler func(context.Context, T) error) Worker {
	return Worker{Consumer: j.Consumer(), Concurrency: defaultConcurrency, User: memberReader(userMember), Handle: func(ctx context.Context, data []byte) error {
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
	user := memberReader(subjectMember)
	return Worker{Consumer: s.Consumer(), Concurrency: defaultConcurrency, User: user, Handle: func(ctx context.Context, data []byte) error {
		var event subjects.Envelope[T]
		if err := json.Unmarshal(data, &event); err != nil {
			return subjects.Errorf(subjects.CodeInvalid, "decoding the event: %v", err)
		}
		return handler(ctx, event)
	}}
}

// The members of a job and of an event that name the user.
const (
	userMember    = "user_id"
	subjectMember = "subject"
)

// maxUserID bounds what is taken for a user's id, in bytes.
const maxUserID = 128

// memberReader returns a function that returns a string member of a JSON object, empty if it has none. It reads no further than the
// member, which precedes the data.
func memberReader(name string) func(data []byte) string {
	return func(data []byte) string {
		decoder := json.NewDecoder(bytes.NewReader(data))
		if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
			return ""
		}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return ""
			}
			if key == name {
				value, _ := decoder.Token()
				id, _ := value.(string)
				if len(id) > maxUserID || bytes.IndexByte([]byte(id), 0) >= 0 {
					return ""
				}
				return id
			}
			var skipped json.RawMessage
			if decoder.Decode(&skipped) != nil {
				return ""
			}
		}
		return ""
	}
}
