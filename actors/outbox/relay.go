package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

const (
	relayBackoffMin = 50 * time.Millisecond
	relayBackoffMax = time.Second
	// relayLockWait bounds how long a copy waits for another copy's page, in PostgreSQL's notation.
	relayLockWait = "1s"
	// relayTidy bounds how long acknowledged rows may take to be deleted after ctx has ended.
	relayTidy = 2 * time.Second
)

// Run publishes what is committed until ctx ends: at once after a commit in this process, and every Poll besides.
// While NATS or the database is away it keeps trying, at least once a second. It returns ctx's error.
func (o *Outbox) Run(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(o.cfg.AckWait),
		jetstream.WithPublishAsyncMaxPending(o.cfg.Window+1)) // the window is ours: PublishAsync never stalls
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	backoff := relayBackoffMin
	for {
		err := o.pass(ctx, nc, js)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			backoff = relayBackoffMin
			if err := o.idle(ctx); err != nil {
				return err
			}
			continue
		}
		if database.IsRetryable(err) { // another copy publishes; what was committed here may be in neither's page
			continue
		}
		o.cfg.Log.Warn("outbox waits", zap.Error(err), zap.Duration("wait", backoff))
		if err := database.Backoff(ctx, backoff); err != nil {
			return err
		}
		backoff = min(2*backoff, relayBackoffMax)
	}
}

func (o *Outbox) idle(ctx context.Context) error {
	t := time.NewTimer(o.cfg.Poll)
	defer t.Stop()
	select {
	case <-o.wake:
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// maxBlocked bounds the keys that one pass remembers as blocked; past it the streams at large must be at fault.
const maxBlocked = 1000

// pass publishes until nothing is left. A message that its stream refuses blocks its key for the rest of the pass, and so
// never lets a later one of the key overtake; the other keys go on. The first such error is returned at the end.
//
// Every page is read from the table's beginning, not from where the last one ended: a row may become visible behind
// that place, when its transaction took its number early and committed late, and the next row of its key be before it.
func (o *Outbox) pass(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) error {
	p := &relayPass{outbox: o, js: js, blocked: map[string]bool{}}
	for len(p.blocked) < maxBlocked {
		waiting, err := p.unblocked(o.cfg.DB.NewSelect().TableExpr("weft_outbox")).Exists(ctx)
		if err != nil {
			return fmt.Errorf("reading outbox: %w", err)
		}
		if !waiting {
			break
		}
		if !nc.IsConnected() {
			return errors.New("NATS is away")
		}
		if err := o.page(ctx, p); err != nil {
			return err
		}
	}
	return p.refused
}

// page publishes the first rows whose keys are not blocked, and deletes those that were acknowledged.
func (o *Outbox) page(ctx context.Context, p *relayPass) error {
	if o.cfg.DB.Dialect() == database.DialectSQLite { // this process is the only one; publishing must not hold the writer
		rows, err := p.read(ctx, o.cfg.DB.DB)
		if err != nil {
			return err
		}
		acked, failure := p.publish(ctx, rows)
		return errors.Join(o.forget(ctx, acked), failure)
	}
	s, err := o.cfg.DB.OpenTx(ctx, context.WithoutCancel(ctx), func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.Tx.ExecContext(ctx, "SET LOCAL lock_timeout = '"+relayLockWait+"'"); err != nil {
			return err
		}
		_, err := tx.Tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", o.cfg.DB.AdvisoryKey("outbox"))
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for another copy's outbox: %w", err)
	}
	defer s.Rollback()
	rows, err := p.read(ctx, s.Tx())
	if err != nil {
		return err
	}
	acked, failure := p.publish(ctx, rows)
	tidy, cancel := database.Cleanup(ctx, relayTidy)
	defer cancel()
	if err := deleteOutboxRows(tidy, s.Tx(), acked); err != nil {
		return errors.Join(err, failure)
	}
	return errors.Join(s.Commit(), failure)
}

func (o *Outbox) forget(ctx context.Context, acked []int64) error {
	if len(acked) == 0 {
		return nil
	}
	tidy, cancel := database.Cleanup(ctx, relayTidy)
	defer cancel()
	return o.cfg.DB.RunDetached(tidy, func(ctx context.Context, tx bun.Tx) error { return deleteOutboxRows(ctx, tx, acked) })
}

func deleteOutboxRows(ctx context.Context, tx bun.Tx, acked []int64) error {
	if len(acked) == 0 {
		return nil
	}
	if _, err := tx.NewDelete().TableExpr("weft_outbox").Where("seq IN (?)", bun.List(acked)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting published messages: %w", err)
	}
	return nil
}

// relayPass is what one pass remembers.
type relayPass struct {
	outbox  *Outbox
	js      jetstream.JetStream
	blocked map[string]bool // keys with a message that this pass could not publish
	refused error           // the first refusal by a stream
}

func (p *relayPass) unblocked(q *bun.SelectQuery) *bun.SelectQuery {
	if len(p.blocked) == 0 {
		return q
	}
	return q.Where("order_key NOT IN (?)", bun.List(slices.Collect(maps.Keys(p.blocked))))
}

func (p *relayPass) read(ctx context.Context, db bun.IDB) ([]row, error) {
	var rows []row
	err := p.unblocked(db.NewSelect().Model(&rows)).Order("seq").Limit(int64(p.outbox.cfg.Window)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading outbox: %w", err)
	}
	return rows, nil
}

type inFlight struct {
	row row
	ack jetstream.PubAckFuture
}

// publish sends rows in order and returns the seqs that were acknowledged. Two messages of one key are never in flight
// together, so that none is stored before an earlier one whatever is lost on the way. A non-nil error says that nothing
// goes through at present.
func (p *relayPass) publish(ctx context.Context, rows []row) (acked []int64, failure error) {
	var queue []inFlight
	open := map[string]bool{}
	settle := func() {
		head := queue[0]
		queue = queue[1:]
		delete(open, head.row.OrderKey)
		if err := awaitAck(ctx, head.ack); err != nil {
			failure = errors.Join(failure, p.failed(head.row, err))
			return
		}
		acked = append(acked, head.row.Seq)
	}
	for _, row := range rows {
		for open[row.OrderKey] {
			settle()
		}
		if failure != nil || ctx.Err() != nil {
			break
		}
		if p.blocked[row.OrderKey] {
			continue
		}
		ack, err := p.send(row)
		if err != nil {
			failure = p.failed(row, err)
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

func (p *relayPass) send(row row) (jetstream.PubAckFuture, error) {
	msg := nats.NewMsg(row.Subject)
	if err := json.Unmarshal(row.Header, &msg.Header); err != nil {
		return nil, fmt.Errorf("decoding header: %w", err)
	}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header.Set(jetstream.MsgIDHeader, row.ID)
	msg.Data = row.Data
	return p.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
}

// failed blocks row's key for the rest of the pass. It returns nil when the fault is that message's or its stream's
// alone, and the error when it is the connection's.
func (p *relayPass) failed(row row, err error) error {
	p.blocked[row.OrderKey] = true
	err = fmt.Errorf("publishing %s on %s: %w", row.ID, row.Subject, err)
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrHeadersNotSupported) {
		if p.refused == nil {
			p.refused = err
		}
		return nil
	}
	return err
}

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
