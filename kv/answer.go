package kv

import (
	"context"
	"errors"
	"time"
)

// answerWithin is how long an answer of a stream's leader is waited for before the request is repeated. A request is lost if the server that
// led the stream has died, and its caller may have much more time.
const answerWithin = 2 * time.Second

// withAnswer repeats a request that may be repeated until it is answered or ctx ends. A context without a deadline gets JetStream's default.
func withAnswer[T any](ctx context.Context, js JetStream, request func(context.Context) (T, error)) (T, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, js.Options().DefaultTimeout)
		defer cancel()
	}
	for {
		if err := reachable(js); err != nil {
			var none T
			return none, err
		}
		attempt, cancel := context.WithTimeout(ctx, answerWithin)
		result, err := request(attempt)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return result, err
		}
	}
}
