package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/deferred"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// fetchTimeout bounds one fetch of messages.
	fetchTimeout = 20 * time.Second
	// fetchHeartbeat is the server's heartbeat during a fetch, so that a fetch that was lost in a restart is noticed and repeated.
	fetchHeartbeat = 2 * time.Second
	// afterFailureTimeout and afterFailureHeartbeat are the timeout and the heartbeat of a fetch after one that failed, so that it is soon
	// known whether fetching works again.
	afterFailureTimeout, afterFailureHeartbeat = time.Second, 400 * time.Millisecond
	// heldPerPlace is how many messages a process holds for each that it handles at once.
	heldPerPlace = 3
	// maxHeldBytes bounds the data of the messages of one durable that a process holds before it fetches more.
	maxHeldBytes = 8 << 20
	// maxSurplus and maxSurplusBytes bound what is fetched to be deferred at once.
	maxSurplus      = 256
	maxSurplusBytes = 4 << 20
)

// consumer runs one worker: it fetches the messages of the durable and handles them, and those that were deferred when they are due.
type consumer struct {
	r          *Runtime
	w          actors.Worker
	durable    jetstream.Consumer
	instrument *mesh.Instrument
	// fresh handles what the stream delivers, later what was deferred: neither takes the other's places.
	fresh, later *lane
	// wake is notified when something was deferred or a place of later is free.
	wake wait.Signal
	// surplus is how many messages more than it can hold it fetches, because the last ones were deferred unhandled.
	surplus int
	// turn is when the last fetch began, in nanoseconds since the Unix epoch; 0 while every place is taken. failure is why the last one failed.
	turn    atomic.Int64
	failure atomic.Pointer[error]
}

// openConsumers opens the durable of each worker.
func (r *Runtime) openConsumers(ctx context.Context, workers []actors.Worker) (err error) {
	for _, w := range workers {
		c := &consumer{r: r, w: w, instrument: r.Telemetry.Instrument(r.service.Name, w.Consumer.Durable)}
		r.metrics.deadLetters.WithLabelValues(w.Consumer.Durable)
		c.durable, err = r.Conn.JS.Consumer(ctx, w.Consumer.Stream, w.Consumer.Durable)
		if err != nil {
			return fmt.Errorf("opening durable %s of %s: %w", w.Consumer.Durable, w.Consumer.Stream, err)
		}
		c.fresh, c.later = newLane(w.Concurrency, c.run), newLane(w.Concurrency/2, c.run)
		c.wake = c.later.freed
		r.consumers = append(r.consumers, c)
	}
	return nil
}

// startWorkers consumes the durables until the runtime stops. running ends when no more messages are taken.
func (r *Runtime) startWorkers() (running *sync.WaitGroup) {
	running = &sync.WaitGroup{}
	for _, c := range r.consumers {
		running.Go(func() { c.restarted("fetching messages", c.consume) })
		if r.Deferred != nil {
			running.Go(func() { c.restarted("taking messages that were deferred", c.consumeAside) })
		}
		go func() { _ = wait.Every(r.work, c.w.Consumer.AckWait/3, c.keepHeld) }()
		go func() { _ = wait.Every(r.work, lagInterval, c.observeLag) }()
	}
	return running
}

// restarted runs a loop until the runtime stops, again if it panics.
func (c *consumer) restarted(what string, loop func()) {
	for !c.r.isStopping() {
		if err := c.r.recovered(func() error { loop(); return nil }); err != nil {
			c.r.Telemetry.Log.Error(what+" failed", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
			_ = wait.Sleep(c.r.accepting, restartDelay)
		}
	}
}

// consume fetches messages until the runtime stops. It holds a bounded number: those that are handled, and some that wait for their turn
// and stay in progress meanwhile.
func (c *consumer) consume() {
	for !c.r.isStopping() {
		room := c.awaitRoom()
		if room == 0 {
			break
		}
		c.turn.Store(time.Now().UnixNano())
		err := c.fetch(room)
		if err == nil || c.r.isStopping() {
			c.failure.Store(nil)
			continue
		}
		c.failure.Store(&err)
		c.r.Telemetry.Log.Warn("fetching messages failed", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
		_ = wait.Sleep(c.r.accepting, restartDelay)
	}
	for _, d := range c.fresh.close() {
		c.giveBack(d.message)
	}
}

// awaitRoom waits until more messages can be held, and returns how many. It returns 0 if the runtime stops first.
func (c *consumer) awaitRoom() int {
	for !c.r.isStopping() {
		count, bytes := c.fresh.load()
		if room := heldPerPlace*c.fresh.limit - count; room > 0 && bytes < maxHeldBytes {
			return room
		}
		c.turn.Store(0)
		_ = wait.Until(c.r.accepting, c.fresh.freed.C(), fetchTimeout)
	}
	return 0
}

// fetch fetches up to limit messages and has them handled.
func (c *consumer) fetch(limit int) error {
	timeout, heartbeat := fetchTimeout, fetchHeartbeat
	if c.failure.Load() != nil {
		timeout, heartbeat = afterFailureTimeout, afterFailureHeartbeat
	}
	ctx, cancel := context.WithTimeout(c.r.work, timeout)
	defer cancel()
	defer context.AfterFunc(c.r.accepting, cancel)()
	batch, err := c.durable.Fetch(limit+c.surplus, jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(heartbeat))
	if err != nil {
		return err
	}
	c.take(batch.Messages())
	if err := batch.Error(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// take has fetched messages handled or deferred, until there are no more.
func (c *consumer) take(messages <-chan jetstream.Msg) {
	var surplus []*delivery
	count, bytes, put := 0, 0, 0
	for {
		var m jetstream.Msg
		var ok bool
		select {
		case m, ok = <-messages:
		default: // nothing has arrived
			c.putSurplusAside(surplus)
			surplus = nil
			m, ok = <-messages
		}
		if !ok {
			break
		}
		count, bytes = count+1, bytes+len(m.Data())
		if d := c.accept(m); d != nil {
			surplus, put = append(surplus, d), put+1
		}
	}
	c.putSurplusAside(surplus)
	c.surplus = 0
	if put > 0 {
		c.surplus = min(maxSurplus, maxSurplusBytes/max(1, bytes/count))
	}
}

// accept has a message handled. It returns the delivery if the user whom it concerns has enough waiting already. A message that its author
// did not publish is removed from the consumer without an effect.
func (c *consumer) accept(m jetstream.Msg) (surplus *delivery) {
	if c.r.isStopping() {
		c.giveBack(m)
		return nil
	}
	if err := c.r.Conn.JS.VerifyMessage(m); err != nil {
		if err := m.TermWithReason("not published by its author"); err != nil {
			c.r.Telemetry.Log.Warn("refused message not settled", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
		}
		return nil
	}
	d := c.newDelivery(m)
	if d.tries > 1 && c.isAside(d) {
		if err := m.Ack(); err != nil {
			c.r.Telemetry.Log.Warn("message not settled", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
			return nil
		}
		c.r.Deferred.Confirm(d.id)
		return nil
	}
	if c.fresh.offer(d, d.userID == "" || c.r.Deferred == nil || d.id == "") {
		return nil
	}
	return d
}

// isAside reports whether a message that is delivered again was deferred before.
func (c *consumer) isAside(d *delivery) bool {
	if c.r.Deferred == nil || d.id == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(c.r.work, settleTimeout)
	defer cancel()
	found, err := c.r.Deferred.Has(ctx, d.id)
	if err != nil {
		c.r.Telemetry.Log.Warn("looking for a message", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
	}
	return found
}

// putSurplusAside defers deliveries, without a try, whose users have enough waiting already, so that those of others behind them are
// reached. Where nothing more may be deferred, they wait here, and the durable with them.
func (c *consumer) putSurplusAside(surplus []*delivery) {
	if len(surplus) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	var put []*delivery
	var messages []deferred.Message
	for _, d := range surplus {
		message := c.deferred(d, d.tries-1, time.Now())
		if c.r.Deferred.Room(message) != "" {
			c.waitHere(d)
			continue
		}
		put, messages = append(put, d), append(messages, message)
	}
	if len(put) == 0 {
		return
	}
	if err := c.putAside(ctx, put, messages...); err != nil {
		c.r.Telemetry.Log.Warn("messages not deferred", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
		for _, d := range put {
			c.waitHere(d)
		}
		return
	}
	c.r.metrics.deferrals.WithLabelValues(c.w.Consumer.Durable, deferralShare).Add(float64(len(put)))
}

// waitHere has a delivery wait in this process however many do.
func (c *consumer) waitHere(d *delivery) {
	if !c.fresh.offer(d, true) {
		c.giveBack(d.message)
	}
}

// run handles a delivery unless the runtime no longer takes any.
func (c *consumer) run(d *delivery) {
	if !c.r.running.add() {
		if d.message != nil {
			c.giveBack(d.message)
		} else {
			c.returnOne(d)
		}
		return
	}
	defer c.r.running.done()
	if err := c.r.recovered(func() error { c.handle(d); return nil }); err != nil {
		c.r.Telemetry.Log.Error("settling a message failed", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
	}
}

// keepHeld keeps what is held in progress, also after a lost connection: if it is restored within AckWait, the messages are not delivered
// again.
func (c *consumer) keepHeld() {
	for _, d := range c.fresh.deliveries() {
		_ = d.message.InProgress()
	}
	var ids []string
	for _, d := range c.later.deliveries() {
		ids = append(ids, d.id)
	}
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.r.work, settleTimeout)
	defer cancel()
	if err := c.r.Deferred.Extend(ctx, c.w.Consumer.AckWait, ids...); err != nil {
		c.r.Telemetry.Log.Warn("messages that were deferred may be taken twice", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
	}
}

func (r *Runtime) isStopping() bool { return r.accepting.Err() != nil }

// giveBack rejects a message that this process, which is stopping, does not handle, so that it is delivered to another one.
func (c *consumer) giveBack(m jetstream.Msg) {
	if err := m.Nak(); err != nil {
		c.r.Telemetry.Log.Warn("message not given back", zap.String("durable", c.w.Consumer.Durable), zap.Error(err))
	}
}

// logMessage writes the log line of a message, and another one if settling it failed.
func (r *Runtime) logMessage(ctx context.Context, w actors.Worker, err error, tries uint64, took time.Duration, settled error) {
	fields := []zap.Field{
		zap.String("durable", w.Consumer.Durable), zap.String("trace_id", mesh.TraceID(ctx)),
		zap.Uint64("try", tries), zap.Duration("took", took),
	}
	switch {
	case errors.Is(err, actors.ErrStepAside):
		r.Telemetry.Log.Debug("message left to another process", fields...)
	case err != nil:
		r.Telemetry.Log.Warn("message failed", append(fields, zap.String("code", string(subjects.CodeOf(err))), zap.Error(err))...)
	default:
		r.Telemetry.Log.Debug("message handled", fields...)
	}
	if settled != nil {
		r.Telemetry.Log.Warn("message not settled", zap.String("durable", w.Consumer.Durable), zap.Error(settled))
	}
}
