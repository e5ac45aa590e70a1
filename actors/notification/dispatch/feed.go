package dispatch

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/notification/channel"
)

const (
	// feedBatch is how many attempts are started at a time, and so bounds the payloads that are read by one query.
	feedBatch = 64
	// retrySoon is when an attempt is tried again that could not be made for a reason of weft's own.
	retrySoon = time.Second
)

// start reads the payloads of deliveries and starts their attempts.
func (d *Dispatcher) start(ctx, attempts context.Context, list []*delivery) error {
	var keys [][]string
	payloads := make(map[eventKey][]byte, len(list))
	for _, one := range list {
		k := eventKey{one.queue.userID, one.eventID}
		if _, ok := payloads[k]; ok {
			continue
		}
		if payloads[k] = d.recent.get(k); payloads[k] == nil {
			keys = append(keys, []string{k.user, k.event})
		}
	}
	var rows []eventRow
	if len(keys) > 0 {
		var err error
		if rows, err = d.store.payloads(ctx, keys); err != nil {
			d.scheduler.released(list...)
			return err
		}
	}
	for _, row := range rows {
		payload, err := d.o.Sealer.Open(row.Payload, payloadContext(row.UserID, row.ID))
		if err != nil {
			d.o.Log.Error("the payload of a webhook event cannot be opened", zap.String("event_id", row.ID), zap.Error(err))
			continue
		}
		payloads[eventKey{row.UserID, row.ID}] = payload
	}
	for _, one := range list {
		payload := payloads[eventKey{one.queue.userID, one.eventID}]
		d.attempts.Go(func() { d.attempt(attempts, one, payload) })
	}
	return nil
}

// attempt makes the attempt of a delivery, unless its endpoint's state or its rate forbids it now.
func (d *Dispatcher) attempt(ctx context.Context, one *delivery, payload []byte) {
	defer d.feed.Notify()
	t, err := d.targetOf(ctx, one.queue)
	switch {
	case err != nil && !isGone(err):
		d.warn(ctx, "the state of a webhook's endpoint could not be read; retrying", err)
		d.postpone(one, retrySoon)
		return
	case err != nil || !t.Enabled: // the loader deletes the deliveries or keeps them
		d.scheduler.released(one)
		d.load.Notify()
		return
	case payload == nil:
		d.finish(one, t, reply{Attempt: Attempt{StartedAt: d.o.Now(), Error: "the event is no longer stored"}}, true)
		return
	}
	if t.PerMinute > 0 && d.o.Take != nil {
		pause, err := d.o.Take(ctx, t.Endpoint)
		if err != nil {
			d.warn(ctx, "the rate of a webhook could not be read; retrying", err)
			pause = retrySoon
		}
		if pause > 0 {
			d.postpone(one, pause)
			return
		}
	}
	d.metrics.inFlight.Inc()
	slow := time.AfterFunc(slowAfter, func() {
		d.scheduler.slowed(one)
		d.feed.Notify()
	})
	r := d.post(ctx, t, one.eventID, payload)
	slow.Stop()
	d.metrics.inFlight.Dec()
	if r.Status == 0 && ctx.Err() != nil { // stopped: it counts as not made
		d.scheduler.released(one)
		return
	}
	d.finish(one, t, r, false)
}

// postpone moves a delivery, and its endpoint with it, without counting an attempt.
func (d *Dispatcher) postpone(one *delivery, by time.Duration) {
	now := d.o.Now()
	until := now.Add(max(by, time.Millisecond))
	d.scheduler.finished(one, ended{pausedUntil: until}, now)
	d.recorder.add(item{delivery: one, change: change{
		endpointID: one.queue.id, id: one.id, status: StatusPending, attempts: one.attempts, next: until.UnixMicro(),
	}})
}

// finish gives the result of an attempt to the recorder. lost means that there is nothing to deliver any more.
func (d *Dispatcher) finish(one *delivery, t *target, r reply, lost bool) {
	now := d.o.Now()
	r.Number = one.attempts + 1
	v := judge(r.Status, r.Number-one.base, r.retryAfter, t.Schedule)
	if lost {
		v = verdict{final: true}
	}
	c := change{endpointID: one.queue.id, id: one.id, status: StatusPending, attempts: r.Number, made: true, next: now.Add(v.delay).UnixMicro()}
	switch {
	case v.succeeded:
		c.status = StatusSucceeded
	case v.final:
		c.status = StatusFailed
	}
	if v.final {
		c.finished, c.next = now.UnixMicro(), 0
	}
	c.attempt = attemptRow{
		DeliveryID: one.id, ID: d.o.NewID(), Number: r.Number, StartedAt: r.StartedAt.UnixMicro(), Duration: r.Duration.Microseconds(),
		Status: r.Status, Error: channel.Truncate(r.Error, maxError),
	}
	if r.Answer != "" {
		sealed, err := d.o.Sealer.Seal([]byte(r.Answer), answerContext(c.attempt.DeliveryID, c.attempt.ID))
		if err != nil {
			d.o.Log.Error("the answer of a webhook's endpoint could not be sealed and is not logged", zap.Error(err))
		}
		c.attempt.Answer = sealed
	}
	e := ended{made: !lost, ok: v.succeeded, slow: r.Duration >= slowAfter}
	if v.throttled {
		e.pausedUntil = now.Add(min(v.delay, maxPause))
	}
	d.metrics.attempt(r.Attempt, v)
	d.scheduler.finished(one, e, now)
	d.recorder.add(item{delivery: one, change: c, outcome: Outcome{
		EndpointID: one.queue.id, UserID: one.queue.userID, DeliveryID: one.id, EventID: one.eventID, Type: one.eventType, Attempt: r.Attempt,
		Succeeded: v.succeeded, Final: v.final, Gone: v.unwanted,
	}})
}

const (
	// maxError bounds the logged error of an attempt, in bytes.
	maxError = 400
	// maxPause bounds how long an answer with Retry-After stops the other attempts to its endpoint.
	maxPause = time.Minute
)
