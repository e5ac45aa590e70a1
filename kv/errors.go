package kv

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Errors of this package. Match them by errors.Is; they wrap the error of NATS as well.
var (
	// ErrNotFound: the key does not exist, was deleted, or has expired.
	ErrNotFound = errors.New("kv: key not found")
	// ErrExists: Create found the key.
	ErrExists = errors.New("kv: key exists")
	// ErrConflict: the key is not at the revision that the write expected.
	ErrConflict = errors.New("kv: key was changed concurrently")
	// ErrUnavailable: NATS, or the bucket's leader, could not be reached in time. The outcome of a write is unknown.
	ErrUnavailable = errors.New("kv: unavailable")
	// ErrNoBucket: the bucket does not exist; `weft migrate` has not run.
	ErrNoBucket = errors.New("kv: no such bucket")
	// ErrInvalidKey: a key or filter that is no valid NATS subject, or a key that this writer does not own.
	ErrInvalidKey = errors.New("kv: invalid key")
	// ErrInvalidArgument: a TTL, length, limit or period is out of bounds.
	ErrInvalidArgument = errors.New("kv: invalid argument")
	// ErrClosed: the map or lease was closed.
	ErrClosed = errors.New("kv: closed")
)

// unreachableErrors are the errors of nats.go that mean that the server cannot be reached. An expired deadline is among them; a
// cancelled context is not, because then the caller gave up.
var unreachableErrors = []error{
	context.DeadlineExceeded,
	nats.ErrTimeout,
	nats.ErrNoResponders,
	nats.ErrConnectionClosed,
	nats.ErrConnectionDraining,
	nats.ErrConnectionReconnecting,
	nats.ErrDisconnected,
	nats.ErrStaleConnection,
	nats.ErrNoServers,
	nats.ErrReconnectBufExceeded,
	nats.ErrInvalidConnection,
	jetstream.ErrNoStreamResponse,
	jetstream.ErrJetStreamNotEnabled,
}

// translate adds the matching error of this package to err. It returns nil for nil.
func translate(doing string, err error) error {
	if err == nil {
		return nil
	}
	kind := classify(err)
	if kind == nil || errors.Is(err, kind) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, kind, err)
}

// classify returns the error of this package that err stands for; nil if none.
func classify(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, ErrConflict):
		return ErrConflict
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return ErrNotFound
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrBucketNotFound):
		return ErrNoBucket
	case IsServerFault(err):
		return ErrUnavailable
	case errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		return ErrConflict
	}
	for _, unreachable := range unreachableErrors {
		if errors.Is(err, unreachable) {
			return ErrUnavailable
		}
	}
	return nil
}

// IsServerFault reports whether an error is one of JetStream itself and not of the request: a server that has just lost the lead of a stream
// (10009), or one without a leader (10008).
func IsServerFault(err error) bool {
	var api *jetstream.APIError
	var older *nats.APIError // of watches, which go through the older API of nats.go
	return errors.As(err, &api) && api.Code >= http.StatusInternalServerError ||
		errors.As(err, &older) && older.Code >= http.StatusInternalServerError || errors.Is(err, jetstream.ErrNoStreamResponse)
}
