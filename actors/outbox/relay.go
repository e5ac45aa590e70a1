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
	"github.com/uptrace/bun"
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
		r.blocked.begin(o.cfg.Now())
		err := r.pass(ctx, nc)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			delays.Reset()
			if r.refused != nil {
				o.cfg.Log.Warn("messages were refused; they will be retried, and later ones of their keys wait",
					zap.Error(r.refused), zap.Int("keys", len(r.blocked.keys)))
			}
			_ = o.wake.Wait(ctx, r.blocked.end(o.cfg.Now(), o.cfg.Poll))
		case database.IsRetryable(err):
			// Another copy holds the lock. Its page may have been read before a commit in this process.
		default:
			delay := delays.NextBackOff()
			o.cfg.Log.Warn("the outbox could not publish; retrying", zap.Error(err), zap.Duration("delay", delay))
			_ = wait.Sleep(ctx, delay)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// relay is the state of Run.
type relay struct {
	outbox  *Outbox
	js      jetstream.JetStream
	blocked *blockedKeys
	refused error // the first refusal of the present pass
}

// pass publishes until the table has no rows but those of blocked keys. A message that its stream refuses blocks its key, so that
// no later message of the key overtakes it; other keys continue.
//
// Every page is read from the beginning of the table, not from the end of the last page: a transaction that took its number early
// and committed late makes a row visible before that point, and the next row of its key may come after it.
func (r *relay) pass(ctx context.Context, nc *nats.Conn) error {
	for {
		waiting, err := r.next(ctx, r.outbox.cfg.DB.DB, 1)
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			return nil
		}
		if !nc.IsConnected() {
			return errors.New("not connected to NATS")
		}
		if err := r.page(ctx); err != nil {
			return err
		}
	}
}

// page publishes the first rows whose keys are not blocked, and deletes the acknowledged ones.
func (r *relay) page(ctx context.Context) error {
	o := r.outbox
	if o.cfg.DB.Dialect() == database.DialectSQLite { // there is no other process, and publishing must not block the writer
		rows, err := r.read(ctx, o.cfg.DB.DB)
		if err != nil {
			return err
		}
		acked, failure := r.publish(ctx, rows)
		return errors.Join(o.deleteAcked(ctx, acked), failure)
	}
	s, err := o.cfg.DB.OpenTx(ctx, context.WithoutCancel(ctx), func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.Tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+relayLockWait+"'"); err != nil {
			return err
		}
		_, err := tx.Tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", o.cfg.DB.AdvisoryKey("outbox"))
		return err
	})
	if err != nil {
		return fmt.Errorf("locking the outbox: %w", err)
	}
	defer s.Rollback()
	rows, err := r.read(ctx, s.Tx())
	if err != nil {
		return err
	}
	acked, failure := r.publish(ctx, rows)
	cleanup, cancel := database.CleanupContext(ctx, relayCleanup)
	defer cancel()
	if err := deleteRows(cleanup, s.Tx(), acked); err != nil {
		return errors.Join(err, failure)
	}
	return errors.Join(s.Commit(), failure)
}

// deleteAcked deletes acknowledged rows in a transaction of its own, also after ctx has ended.
func (o *Outbox) deleteAcked(ctx context.Context, acked []int64) error {
	if len(acked) == 0 {
		return nil
	}
	cleanup, cancel := database.CleanupContext(ctx, relayCleanup)
	defer cancel()
	return o.cfg.DB.RunDetached(cleanup, func(ctx context.Context, tx bun.Tx) error { return deleteRows(ctx, tx, acked) })
}

func deleteRows(ctx context.Context, tx bun.Tx, acked []int64) error {
	if len(acked) == 0 {
		return nil
	}
	if _, err := tx.NewDelete().TableExpr("weft_outbox").Where("seq IN (?)", bun.List(acked)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting published messages: %w", err)
	}
	return nil
}

// keyedRow is a row's place in the order of its key.
type keyedRow struct {
	Seq      int64
	OrderKey string
}

// next returns the numbers of the first rows whose keys are not blocked, at most limit. It reads past the rows of blocked keys by
// ever longer queries from the beginning, because rows of two queries could have been overtaken in between.
func (r *relay) next(ctx context.Context, db bun.IDB, limit int) ([]int64, error) {
	for count := limit + len(r.blocked.keys); ; count *= 2 {
		var rows []keyedRow
		err := db.NewSelect().TableExpr("weft_outbox").Column("seq", "order_key").Order("seq").Limit(int64(count)).Scan(ctx, &rows)
		if err != nil {
			return nil, fmt.Errorf("reading outbox: %w", err)
		}
		var numbers []int64
		for _, row := range rows {
			if len(numbers) < limit && !r.blocked.keys[row.OrderKey] {
				numbers = append(numbers, row.Seq)
			}
		}
		if len(numbers) == limit || len(rows) < count {
			return numbers, nil
		}
	}
}

// read returns the first rows whose keys are not blocked.
func (r *relay) read(ctx context.Context, db bun.IDB) ([]row, error) {
	var rows []row
	query := db.NewSelect().Model(&rows).Order("seq").Limit(int64(r.outbox.cfg.Window))
	if len(r.blocked.keys) > 0 {
		numbers, err := r.next(ctx, db, r.outbox.cfg.Window)
		if err != nil || len(numbers) == 0 {
			return nil, err
		}
		query = query.Where("seq IN (?)", bun.List(numbers))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading outbox: %w", err)
	}
	return rows, nil
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
