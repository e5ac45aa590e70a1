package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// outboxKey is the key of the outbox's id in the metadata of its stream.
const outboxKey = "weft_outbox"

// errOutboxFull refuses a message that the outbox has no room for.
var errOutboxFull = &subjects.Error{
	Code: subjects.CodeUnavailable, Reason: subjects.ReasonEdgeOutboxFull, RetryAfter: 30 * time.Second,
	Detail: "the outbox of this edge node is full; nothing was kept",
}

// outbox holds messages for the hub until it has stored them. It is bounded, and refuses what it has no room for.
type outbox struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	// system may purge the stream.
	system *mesh.JetStream
	// id identifies the outbox to the hub. A stream that is created again has another one, because its sequences begin again.
	id      string
	added   wait.Signal
	refused atomic.Int64
}

// openOutbox opens the stream, and creates it if it does not exist.
func openOutbox(ctx context.Context, system *mesh.JetStream, c Config) (*outbox, error) {
	config := jetstream.StreamConfig{
		Name: subjects.EdgeOutboxStream, Subjects: []string{subjects.EdgeOutboxSubject}, Storage: jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxMsgs: c.OutboxMessages, MaxBytes: c.OutboxBytes,
		Duplicates: 10 * time.Minute, Metadata: map[string]string{outboxKey: uuid.NewString()},
		Description: "Messages for the hub that it has not stored yet.",
	}
	js := system.JetStream // what the edge reads itself needs no signature
	stream, err := js.Stream(ctx, subjects.EdgeOutboxStream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		stream, err = js.CreateStream(ctx, config)
	case err == nil:
		known := stream.CachedInfo().Config.Metadata[outboxKey]
		config.Metadata[outboxKey] = known
		stream, err = js.UpdateStream(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the outbox: %w", err)
	}
	return &outbox{js: js, system: system, stream: stream, id: stream.CachedInfo().Config.Metadata[outboxKey], added: wait.NewSignal()}, nil
}

// keep stores a message for the hub. A message with the id of one that was kept within ten minutes is stored once; an empty id is a new one.
func (o *outbox) keep(ctx context.Context, id string, m subjects.EdgeMessage) error {
	m.Sequence = 1 // the stream gives it its own
	if err := check(m); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a message for the hub: %w", err)
	}
	if id == "" {
		id = uuid.NewString()
	}
	_, err = o.js.PublishMsg(ctx, &nats.Msg{Subject: subjects.EdgeOutboxSubject, Data: data}, jetstream.WithMsgID(id))
	if isFull(err) {
		o.refused.Add(1)
		return errOutboxFull
	}
	if err != nil {
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the outbox cannot be written at present", RetryAfter: subjects.RetrySoon, Cause: err}
	}
	o.added.Notify()
	return nil
}

// check refuses a message that the hub would not take, which would hold up all those after it.
func check(m subjects.EdgeMessage) error {
	data, err := subjects.Encode(subjects.ReceiveEdgeRequest{Outbox: "check", Messages: []subjects.EdgeMessage{m}})
	if err != nil {
		return fmt.Errorf("encoding a message for the hub: %w", err)
	}
	if len(data) > batchBytes {
		return subjects.Errorf(subjects.CodeTooLarge, "the message has %d bytes, and the hub takes %d", len(data), batchBytes)
	}
	_, err = subjects.ReceiveEdge.Decode(data)
	return err
}

// errCodeStoreFailed is the server's code for a message that a stream does not store, and errCodeNoResources for one that the server has no
// room for.
const (
	errCodeStoreFailed jetstream.ErrorCode = 10077
	errCodeNoResources jetstream.ErrorCode = 10023
)

// isFull reports whether a message was refused because a bound is reached.
func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == errCodeStoreFailed || api.ErrorCode == errCodeNoResources)
}

// purge deletes the messages before a sequence.
func (o *outbox) purge(ctx context.Context, before uint64) error {
	return o.system.Purge(ctx, subjects.EdgeOutboxStream, "", before)
}

// size returns what the outbox holds, and when the oldest message was kept.
func (o *outbox) size(ctx context.Context) (messages, bytes int64, oldest time.Time, err error) {
	info, err := o.stream.Info(ctx)
	if err != nil {
		return 0, 0, oldest, fmt.Errorf("reading the outbox: %w", err)
	}
	if info.State.Msgs > 0 {
		oldest = info.State.FirstTime
	}
	return int64(info.State.Msgs), int64(info.State.Bytes), oldest, nil
}
