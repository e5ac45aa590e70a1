package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/deferred"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// settleTimeout bounds the settling of a message in the database or the stream.
	settleTimeout = 10 * time.Second
	// maxRetryAfter bounds how far an error's RetryAfter delays the next try.
	maxRetryAfter = time.Hour
	// surplusTries is how often more than MaxDeliver a message may be delivered without an outcome: processes that stop give messages
	// back. After that its handling has probably ended processes, and it is not handled again.
	surplusTries = 20
)

// delivery is a message that a worker is to handle, from the stream or from what was deferred.
type delivery struct {
	// id identifies it among what is deferred.
	id, userID, subject string
	header              nats.Header
	data                []byte
	// tries is how often its handling was started, this time included.
	tries    uint64
	sequence uint64
	// message is the stream's; nil for one that was deferred, which is stored then.
	message jetstream.Msg
	stored  deferred.Message
}

// newDelivery returns the delivery of a message whose author was verified.
func (c *consumer) newDelivery(m jetstream.Msg) *delivery {
	d := &delivery{subject: m.Subject(), header: m.Headers(), data: m.Data(), tries: 1, message: m}
	if meta, err := m.Metadata(); err == nil {
		d.tries, d.sequence = meta.NumDelivered, meta.Sequence.Stream
		// The time tells messages of a stream from those of one that was deleted and created again.
		d.id = fmt.Sprintf("%s.%d.%d", c.w.Consumer.Durable, d.sequence, meta.Timestamp.UnixNano())
	}
	if c.w.User != nil {
		d.userID = c.w.User(d.data)
	}
	return d
}

// asideDelivery returns the delivery of a message that was deferred.
func asideDelivery(m deferred.Message) *delivery {
	return &delivery{
		id: m.ID, userID: m.UserID, subject: m.Subject, header: m.Header, data: m.Data, tries: uint64(m.Tries), sequence: m.Sequence, stored: m,
	}
}

// deferred returns the delivery as it is deferred.
func (c *consumer) deferred(d *delivery, tries uint64, due time.Time) deferred.Message {
	header := nats.Header{}
	for _, name := range append(mesh.Propagator.Fields(), mesh.HeaderRequestID) {
		if values := d.header.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	return deferred.Message{
		ID: d.id, Durable: c.w.Consumer.Durable, UserID: d.userID, Subject: d.subject, Sequence: d.sequence, Header: header, Data: d.data,
		Tries: int(tries), Due: due,
	}
}

// handle handles one delivery and settles it.
func (c *consumer) handle(d *delivery) {
	r, w := c.r, c.w
	start := time.Now()
	ctx := mesh.Propagator.Extract(r.work, mesh.Carrier(d.header))
	ctx, span := r.Telemetry.Start(ctx, w.Consumer.Durable, trace.SpanKindConsumer)
	defer span.End()
	ctx = mesh.WithRequestID(ctx, d.header.Get(mesh.HeaderRequestID))
	var err error
	if most := uint64(w.Consumer.MaxDeliver) + surplusTries; d.tries > most {
		err = subjects.Errorf(subjects.CodeInternal, "delivered %d times and never settled", d.tries-1)
		d.tries--
	} else {
		err = r.recovered(func() error { return w.Handle(ctx, d.data) })
	}
	settled := c.settle(d, err)
	code := string(subjects.CodeOf(err))
	c.instrument.Observe(code, time.Since(start))
	r.logMessage(ctx, w, err, d.tries, time.Since(start), settled)
}

// settle acknowledges a delivery, defers it until its next try, or moves it to the dead-letter stream, according to the handler's
// error.
func (c *consumer) settle(d *delivery, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	switch {
	case err == nil:
		return c.finish(ctx, d)
	case errors.Is(err, actors.ErrStepAside):
		return c.stepAside(ctx, d)
	case subjects.Transient(err) && d.tries < uint64(c.w.Consumer.MaxDeliver):
		refusal, e := c.retryLater(ctx, d, c.delay(d, err))
		if refusal == "" {
			return e
		}
		err = fmt.Errorf("%w; it is not tried again, because %s", err, refusal)
	}
	if e := c.r.deadLetter(c.w, d, err); e != nil {
		return errors.Join(e, c.again(ctx, d, deadLetterRetry))
	}
	if d.message != nil {
		return d.message.TermWithReason(string(subjects.CodeOf(err)))
	}
	return c.finish(ctx, d)
}

// delay returns the time until a delivery is tried again.
func (c *consumer) delay(d *delivery, err error) time.Duration {
	backoff := c.w.Consumer.Backoff
	delay := backoff[min(max(int(d.tries), 1)-1, len(backoff)-1)]
	var coded *subjects.Error
	if errors.As(err, &coded) {
		delay = max(delay, min(coded.RetryAfter, maxRetryAfter))
	}
	return delay
}

// finish settles a delivery for good.
func (c *consumer) finish(ctx context.Context, d *delivery) error {
	if d.message != nil {
		return d.message.Ack()
	}
	return c.r.Deferred.Finish(ctx, d.stored, c.w.Consumer.AckWait)
}

// stepAside leaves a delivery to another process: it comes again after AckWait. It does not count as a try of what was deferred.
func (c *consumer) stepAside(ctx context.Context, d *delivery) error {
	if d.message != nil {
		return nil
	}
	d.stored.Tries--
	return c.again(ctx, d, c.w.Consumer.AckWait)
}

// again has a delivery come again after a delay, without another place to wait than where it is.
func (c *consumer) again(ctx context.Context, d *delivery, delay time.Duration) error {
	if d.message != nil {
		return d.message.NakWithDelay(delay)
	}
	d.stored.Due = time.Now().Add(delay)
	defer c.wake.Notify()
	return c.r.Deferred.Postpone(ctx, d.stored)
}

// retryLater defers a delivery until its next try. refusal says why it is not. If the database cannot store it, it stays in the stream,
// pending.
func (c *consumer) retryLater(ctx context.Context, d *delivery, delay time.Duration) (refusal string, err error) {
	store := c.r.Deferred
	if d.message == nil || store == nil || d.id == "" {
		return "", c.again(ctx, d, delay)
	}
	message := c.deferred(d, d.tries, time.Now().Add(delay))
	if refusal := store.Room(message); refusal != "" {
		c.r.metrics.deferrals.WithLabelValues(c.w.Consumer.Durable, deferralRefused).Inc()
		return refusal, nil
	}
	if err := c.putAside(ctx, []*delivery{d}, message); err != nil {
		return "", errors.Join(err, d.message.NakWithDelay(delay))
	}
	c.r.metrics.deferrals.WithLabelValues(c.w.Consumer.Durable, deferralRetry).Inc()
	return "", nil
}

// putAside stores messages, and then acknowledges the deliveries that they were. An error means that they were not stored.
func (c *consumer) putAside(ctx context.Context, deliveries []*delivery, messages ...deferred.Message) error {
	if err := c.r.Deferred.Put(ctx, messages...); err != nil {
		return err
	}
	c.wake.Notify()
	var failed error
	ids := make([]string, 0, len(deliveries))
	for i, d := range deliveries {
		ids = append(ids, d.id)
		if i < len(deliveries)-1 {
			failed = errors.Join(failed, d.message.Ack())
			continue
		}
		failed = errors.Join(failed, d.message.DoubleAck(ctx)) // confirms those before it too
	}
	if failed == nil {
		c.r.Deferred.Confirm(ids...)
		return nil
	}
	// Their redelivery is recognised, also when they have been handled meanwhile.
	c.r.Telemetry.Log.Warn("messages were deferred and perhaps not acknowledged", zap.String("durable", c.w.Consumer.Durable), zap.Error(failed))
	return nil
}
