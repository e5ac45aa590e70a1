package kv

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What can go wrong. Match with errors.Is; NATS's own error is wrapped beside it.
var (
	// ErrNotFound: the key is not there, is deleted, or has expired.
	ErrNotFound = errors.New("kv: key not found")
	// ErrExists: Create found the key there.
	ErrExists = errors.New("kv: key exists")
	// ErrConflict: the key is not at the revision the write was conditional on.
	ErrConflict = errors.New("kv: key was changed by another")
	// ErrUnavailable: NATS, or the bucket's leader, could not be reached in time. The outcome of a write is unknown.
	ErrUnavailable = errors.New("kv: unavailable")
	// ErrNoBucket: the bucket does not exist; setup has not run.
	ErrNoBucket = errors.New("kv: no such bucket")
	// ErrInvalidKey: a key, prefix or filter that NATS subjects cannot carry, or not one this writer owns.
	ErrInvalidKey = errors.New("kv: invalid key")
	// ErrInvalidArgument: a TTL, length, limit or period out of its bounds.
	ErrInvalidArgument = errors.New("kv: invalid argument")
	// ErrClosed: the map or lease was closed.
	ErrClosed = errors.New("kv: closed")
)

// awayErrors are the errors of nats.go that mean "not reachable now". A deadline counts as one; a cancelled
// context does not: there the caller went away.
var awayErrors = []error{
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

// translate gives err the package's meaning and keeps the cause. It returns nil for nil.
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

// classify returns the package's error that err stands for, nil when it stands for none.
func classify(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return ErrNotFound
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrBucketNotFound):
		return ErrNoBucket
	case errors.As(err, &api):
		return classifyAPI(api)
	}
	for _, away := range awayErrors {
		if errors.Is(err, away) {
			return ErrUnavailable
		}
	}
	return nil
}

func classifyAPI(api *jetstream.APIError) error {
	switch {
	case api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence,
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return ErrConflict
	case api.Code == http.StatusServiceUnavailable:
		return ErrUnavailable
	}
	return nil
}
