package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

const (
	// relayRetryMin and relayRetryMax bound the delay after a failed pass.
	relayRetryMin = 50 * time.Millisecond
	relayRetryMax = time.Second
	// relayLockWait bounds how long a copy waits for another copy's page, in PostgreSQL's notation.
	relayLockWait = "1s"
	// relayCleanup bounds the deletion of acknowledged rows after ctx has ended.
	relayCleanup = 2 * time.Second
	// relayLinger is how long published rows wait for others that are deleted with them.
	relayLinger = 100 * time.Millisecond
	// relaySettle is after what time a row that another process has committed is looked at again. It exceeds relayLinger.
	relaySettle = 250 * time.Millisecond
)

// Run publishes committed messages until ctx ends: at once after a commit in this process, and every Poll otherwise. While NATS
// or the database is unavailable it retries, with delays of about a second at most. It returns the cause of ctx's end.
func (o *Outbox) Run(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(o.cfg.AckWait),
		jetstream.WithPublishAsyncMaxPending(o.cfg.Window+1)) // above the window, so that PublishMsgAsync never blocks
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval, delays.Multiplier = relayRetryMin, relayRetryMax, 2
	r := &relay{outbox: o, js: js, blocked: newBlockedKeys()}
	for {
		r.refused = nil
		err := r.round(ctx, nc)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			delays.Reset()
			if r.refused != nil {
				o.cfg.Log.Warn("messages were refused; they will be retried, and later ones of their keys wait",
					zap.Error(r.refused), zap.Int("keys", len(r.blocked.keys)))
			}
			if !o.handover.waiting() {
				o.handover.setBusy(false)
				_ = o.wake.Wait(ctx, r.idle())
				o.handover.setBusy(true)
			}
		case database.IsRetryable(err):
			// Another copy holds the lock. Its page may have been read before a commit in this process.
			o.handover.scanNext()
		default:
			delay := delays.NextBackOff()
			o.cfg.Log.Warn("the outbox could not publish; retrying", zap.Error(err), zap.Duration("delay", delay))
			o.handover.giveUp(r.published)
			_ = wait.Sleep(ctx, delay)
		}
		if ctx.Err() != nil {
			_ = r.deletePublished(ctx) // they are published again otherwise, and consumers recognise them
			return context.Cause(ctx)
		}
	}
}

// relay is the state of Run.
type relay struct {
	outbox  *Outbox
	js      jetstream.JetStream
	blocked *blockedKeys
	refused error // the first refusal of the present round
	// published are acknowledged rows that are not deleted, the first of them since publishedAt.
	published   []int64
	publishedAt time.Time
	// readAt is when the table is read next, without a commit in this process.
	readAt time.Time
	// head is the first row of the table that readAt has found.
	head int64
}

// round publishes what this process has committed, or reads the table if it must, and deletes what was published.
func (r *relay) round(ctx context.Context, nc *nats.Conn) error {
	o := r.outbox
	due := !time.Now().Before(r.readAt)
	if o.handover.mustScan() || due && len(r.blocked.queue) > 0 {
		return r.readTable(ctx, nc)
	}
	if due {
		found, err := r.isStuck(ctx)
		if err != nil {
			return err
		}
		if found {
			return r.readTable(ctx, nc)
		}
	}
	if rows := o.handover.take(o.cfg.Window); len(rows) > 0 {
		if !nc.IsConnected() {
			return errNotConnected
		}
		acked, failure := r.publish(ctx, rows)
		if len(r.published) == 0 {
			r.publishedAt = time.Now()
		}
		r.published = append(r.published, acked...)
		if failure != nil {
			return failure
		}
		if len(acked) < len(rows) {
			o.handover.giveUp(r.published)
		}
	}
	if len(r.published) >= o.cfg.Window || len(r.published) > 0 && time.Since(r.publishedAt) >= relayLinger {
		return r.deletePublished(ctx)
	}
	return nil
}

var errNotConnected = errors.New("not connected to NATS")

// idle returns for how long there is nothing to do without a commit in this process.
func (r *relay) idle() time.Duration {
	idle := time.Until(r.readAt)
	if len(r.published) > 0 {
		idle = min(idle, relayLinger-time.Since(r.publishedAt))
	}
	return max(idle, 0)
}

// isStuck reports whether the first row of the table was there at the last look too: the process that committed it does not publish it. A row
// that is new is looked at again soon, because its process probably does.
func (r *relay) isStuck(ctx context.Context) (bool, error) {
	o := r.outbox
	numbers, err := r.next(ctx, o.cfg.DB.DB, 1)
	if err != nil {
		return false, err
	}
	switch {
	case len(numbers) == 0:
		r.readAt = time.Now().Add(o.cfg.Poll)
	case numbers[0] == r.head:
		return true, nil
	default:
		r.head, r.readAt = numbers[0], time.Now().Add(relaySettle)
	}
	return false, nil
}

// readTable publishes from the table.
func (r *relay) readTable(ctx context.Context, nc *nats.Conn) error {
	o := r.outbox
	if !nc.IsConnected() {
		return errNotConnected
	}
	if err := r.deletePublished(ctx); err != nil {
		return err
	}
	r.blocked.begin(o.cfg.Now())
	if err := r.pass(ctx, nc); err != nil {
		return err
	}
	r.readAt = time.Now().Add(r.blocked.end(o.cfg.Now(), o.cfg.Poll))
	return nil
}

// pass publishes until the table has no rows but those of blocked keys. A message that its stream refuses blocks its key, so that
// no later message of the key overtakes it; other keys continue.
//
// Every page is read from the beginning of the table, not from the end of the last page: a transaction that took its number early
// and committed late makes a row visible before that point, and the next row of its key may come after it.
func (r *relay) pass(ctx context.Context, nc *nats.Conn) error {
	for {
		r.outbox.handover.resume()
		read, err := r.page(ctx)
		if err != nil || read < r.outbox.cfg.Window {
			return err
		}
		if !nc.IsConnected() {
			return errNotConnected
		}
	}
}

type inFlight struct {
	row row
	ack jetstream.PubAckFuture
}

// publish sends rows in order and returns the sequence numbers of those that were acknowledged. Two messages of one key are never
// in flight at the same time, so that none can be stored before an earlier one, whichever is lost. A non-nil error means that
// nothing can be published at present.
func (r *relay) publish(ctx context.Context, rows []row) (acked []int64, failure error) {
	var queue []inFlight
	open := map[string]bool{}
	settle := func() {
		head := queue[0]
		queue = queue[1:]
		delete(open, head.row.OrderKey)
		if err := awaitAck(ctx, head.ack); err != nil {
			failure = errors.Join(failure, r.failed(head.row, err))
			return
		}
		r.blocked.published(head.row.OrderKey)
		acked = append(acked, head.row.Seq)
	}
	for _, row := range rows {
		for open[row.OrderKey] {
			settle()
		}
		if failure != nil || ctx.Err() != nil {
			break
		}
		if r.blocked.keys[row.OrderKey] {
			continue
		}
		ack, err := r.send(row)
		if err != nil {
			failure = r.failed(row, err)
			continue
		}
		queue = append(queue, inFlight{row, ack})
		open[row.OrderKey] = true
	}
	for len(queue) > 0 {
		settle()
	}
	return acked, failure
}

func (r *relay) send(row row) (jetstream.PubAckFuture, error) {
	msg := nats.NewMsg(row.Subject)
	if err := json.Unmarshal(row.Header, &msg.Header); err != nil {
		return nil, fmt.Errorf("decoding header: %w", err)
	}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header.Set(jetstream.MsgIDHeader, row.ID)
	msg.Data = row.Data
	if sign := r.outbox.cfg.Sign; sign != nil {
		sign(msg)
	}
	return r.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
}

// failed returns nil if only this message or its stream is at fault, and then blocks the key of row. It returns the error if the
// connection is at fault.
func (r *relay) failed(row row, err error) error {
	err = fmt.Errorf("publishing %s on %s: %w", row.ID, row.Subject, err)
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrHeadersNotSupported) {
		r.blocked.block(row.OrderKey)
		if r.refused == nil {
			r.refused = err
		}
		return nil
	}
	return err
}

// awaitAck waits for the acknowledgement, or until ctx ends. An acknowledgement that is already there counts in either case.
func awaitAck(ctx context.Context, ack jetstream.PubAckFuture) error {
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return err
	case <-ctx.Done():
		select {
		case <-ack.Ok():
			return nil
		default:
			return context.Cause(ctx)
		}
	}
}
