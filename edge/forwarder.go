package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// batchBytes bounds the messages of one request to the hub.
	batchBytes = 700 << 10
	// idleFor is the interval at which the outbox is read when no message was kept in this process.
	idleFor = time.Second
	// retryFirst and retryMost are the delays after a failure.
	retryFirst, retryMost = 50 * time.Millisecond, 500 * time.Millisecond
)

// forwarder sends the messages of the outbox to the hub, in order and one request at a time, and deletes those that it has stored. A request
// whose answer was lost is repeated: the hub passes over what it has.
type forwarder struct {
	outbox *outbox
	uplink *uplink
	log    *zap.Logger
	// linked is notified when the leaf connection has come up.
	linked wait.Signal

	consumer jetstream.Consumer
	// next is the sequence of the next message to read; 0 if nothing was read yet.
	next uint64
}

// run forwards until ctx ends.
func (f *forwarder) run(ctx context.Context) error {
	delay := retryFirst
	for ctx.Err() == nil {
		batch, err := f.read(ctx)
		if err != nil {
			f.consumer = nil // read again from the first message that is left
			f.log.Warn("reading the outbox", zap.Error(err))
			_ = wait.Sleep(ctx, retryMost)
			continue
		}
		if len(batch) == 0 {
			_ = f.outbox.added.Wait(ctx, idleFor)
			continue
		}
		for ctx.Err() == nil {
			if err = f.send(ctx, batch); err == nil {
				delay = retryFirst
				break
			}
			if subjects.CodeOf(err) != subjects.CodeUnavailable {
				f.log.Warn("the hub does not take the messages of the outbox", zap.Error(err))
			}
			_ = f.linked.Wait(ctx, delay)
			delay = min(2*delay, retryMost)
		}
	}
	return nil
}

// read returns the next messages; none if the outbox is empty.
func (f *forwarder) read(ctx context.Context) (batch []subjects.EdgeMessage, err error) {
	if f.consumer == nil {
		if err := f.open(ctx); err != nil {
			return nil, err
		}
	}
	size := 0
	messages, err := f.consumer.FetchNoWait(subjects.MaxEdgeBatch)
	if err != nil {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	for message := range messages.Messages() {
		m, err := decode(message)
		if err != nil {
			return nil, err
		}
		if m.Sequence != f.next && f.next != 0 {
			return nil, errors.New("the consumer has lost its place")
		}
		if size += len(m.Data) + 512; size > batchBytes && len(batch) > 0 {
			// Those after it are read again, from a consumer that begins with this one.
			f.consumer, f.next = nil, m.Sequence
			return batch, nil
		}
		f.next = m.Sequence + 1
		batch = append(batch, m)
	}
	if err := messages.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
		return nil, fmt.Errorf("fetching: %w", err)
	}
	return batch, nil
}

// open begins to read at next, or at the first message that is left.
func (f *forwarder) open(ctx context.Context) (err error) {
	config := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
	}
	if f.next > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.next
	}
	f.consumer, err = f.outbox.stream.CreateConsumer(ctx, config)
	if err != nil {
		f.next = 0
		return fmt.Errorf("creating a consumer: %w", err)
	}
	return nil
}

func decode(message jetstream.Msg) (m subjects.EdgeMessage, err error) {
	meta, err := message.Metadata()
	if err == nil {
		err = json.Unmarshal(message.Data(), &m)
	}
	if err != nil {
		return m, fmt.Errorf("decoding a message: %w", err)
	}
	m.Sequence = meta.Sequence.Stream
	return m, nil
}

// send sends messages to the hub and deletes them.
func (f *forwarder) send(ctx context.Context, batch []subjects.EdgeMessage) error {
	receipt, err := call(ctx, f.uplink, subjects.ReceiveEdge, subjects.ReceiveEdgeRequest{Outbox: f.outbox.id, Messages: batch})
	if err != nil {
		return err
	}
	last := batch[len(batch)-1].Sequence
	if receipt.Through < last {
		return fmt.Errorf("the hub has stored messages up to %d, not %d", receipt.Through, last)
	}
	if err := f.outbox.purge(ctx, last+1); err != nil {
		// They are sent again, and the hub passes over them.
		f.log.Warn("deleting messages of the outbox that the hub has stored", zap.Error(err))
	}
	return nil
}
