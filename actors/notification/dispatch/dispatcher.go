package dispatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

// Defaults of Options.
const (
	DefaultKeep     = 30 * 24 * time.Hour
	DefaultInFlight = 512
	DefaultTimeout  = 15 * time.Second
)

const (
	// pollEvery is how often endpoints are looked for whose deliveries were added by another process or became due.
	pollEvery = time.Second
	// leaseFor is the length of a lease, leaseRenewal how often it is renewed.
	leaseFor     = 30 * time.Second
	leaseRenewal = 5 * time.Second
	// leaseSlack is added to the time that an attempt may take, which a lease must still last when it starts.
	leaseSlack = time.Second
	// idleAfter is how long an endpoint without due deliveries stays leased.
	idleAfter = 5 * time.Second
	// stopGrace is how long Run waits for attempts in flight when it is stopped, and then for their record.
	stopGrace = 5 * time.Second
	// targetFor is how long an endpoint's state is used.
	targetFor = time.Second
)

// Dispatcher delivers events to endpoints. It is safe for concurrent use.
type Dispatcher struct {
	o       Options
	store   store
	client  *egress.Client
	metrics metrics
	// owner names this process in leases.
	owner     string
	scheduler *scheduler
	recorder  *recorder
	recent    *recent
	// feed, load and poll wake the goroutines of Run.
	feed, load, poll wait.Signal
	attempts         sync.WaitGroup
	// leaseFor and leaseRenewal are the constants, except in tests.
	leaseFor, leaseRenewal time.Duration
}

// New returns a dispatcher on migrated tables. It registers the metrics and makes no attempt before Run.
func New(o Options) (*Dispatcher, error) {
	o.Keep, o.InFlight, o.Timeout = cmp.Or(o.Keep, DefaultKeep), cmp.Or(o.InFlight, DefaultInFlight), cmp.Or(o.Timeout, DefaultTimeout)
	if o.DB == nil || o.Sealer == nil || o.Log == nil || o.Now == nil || o.NewID == nil || o.Endpoint == nil {
		return nil, errors.New("dispatch: DB, Sealer, Log, Now, NewID and Endpoint are required")
	}
	client, err := egress.New(egress.Options{
		Allow: o.Allow, AllowHTTP: o.AllowHTTP, MaxBody: MaxAnswer, MaxHeader: 32 << 10, Timeout: o.Timeout, MaxRedirects: -1,
		Resolver: o.Resolver, UserAgent: userAgent, MaxIdle: 4 * o.InFlight,
		MaxPerHost: math.MaxInt, // the slots bound them: endpoints that hang must not take the connections of others at their host
	})
	if err != nil {
		return nil, fmt.Errorf("making the client of webhooks: %w", err)
	}
	d := &Dispatcher{
		o: o, store: newStore(o.DB), client: client, owner: uuid.NewString(),
		scheduler: newScheduler(o.InFlight, o.DB.Dialect() == database.DialectPostgres, o.Timeout+leaseSlack),
		feed:      wait.NewSignal(), load: wait.NewSignal(), poll: wait.NewSignal(), leaseFor: leaseFor, leaseRenewal: leaseRenewal,
	}
	d.recorder, d.recent = newRecorder(d), newRecent()
	d.metrics = newMetrics(o.Metrics, d.scheduler)
	return d, nil
}

// Forget has an endpoint's state read again before its next attempt in this process. Other processes notice a change within a second.
func (d *Dispatcher) Forget(endpointID string) {
	if q := d.scheduler.get(endpointID); q != nil {
		q.target.forget()
	}
}

// Run makes the due attempts until ctx ends. It waits some seconds for the attempts in flight and records them. It returns the cause of
// ctx's end. While the database is away, it makes no attempts and tries again.
//
// On PostgreSQL several processes may run. Each leases endpoints, so that one process at a time makes the attempts of an endpoint; the
// leases of a process that was killed expire after 30 seconds.
func (d *Dispatcher) Run(ctx context.Context) error {
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var workers, recording sync.WaitGroup
	recorded, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRecording()
	workers.Go(func() { d.feedLoop(ctx, attempts) })
	workers.Go(func() { d.loadLoop(ctx) })
	workers.Go(func() { d.pollLoop(ctx) })
	workers.Go(func() { d.renewLoop(ctx) })
	workers.Go(func() { d.retain(ctx) })
	recording.Go(func() { d.recorder.run(recorded) })
	<-ctx.Done()
	d.scheduler.stop()
	workers.Wait()
	grace := time.AfterFunc(stopGrace, cancel)
	d.attempts.Wait()
	grace.Stop()
	stopRecording()
	recording.Wait()
	d.releaseAll(ctx)
	d.client.Close()
	return context.Cause(ctx)
}

// feedLoop starts attempts.
func (d *Dispatcher) feedLoop(ctx, attempts context.Context) {
	for ctx.Err() == nil {
		list := d.scheduler.pick(feedBatch, d.o.Now())
		if len(list) == 0 {
			_ = d.feed.Wait(ctx, pollEvery)
			continue
		}
		d.load.Notify()
		if err := d.start(ctx, attempts, list); err != nil {
			d.warn(ctx, "webhook events could not be read; retrying", err)
			_ = wait.Sleep(ctx, pollEvery)
		}
	}
}

// loadLoop loads due deliveries.
func (d *Dispatcher) loadLoop(ctx context.Context) {
	for ctx.Err() == nil {
		list := d.scheduler.wanted(loadBatch, d.o.Now())
		if len(list) == 0 {
			_ = d.load.Wait(ctx, pollEvery)
			continue
		}
		if err := d.loadQueues(ctx, list); err != nil {
			d.scheduler.loadFailed(list...)
			d.warn(ctx, "due webhook deliveries could not be read; retrying", err)
			_ = wait.Sleep(ctx, pollEvery)
		}
	}
}

// pollLoop looks for endpoints with due deliveries.
func (d *Dispatcher) pollLoop(ctx context.Context) {
	after := ""
	for ctx.Err() == nil {
		var err error
		if after, err = d.look(ctx, after); err != nil {
			d.warn(ctx, "endpoints with due webhook deliveries could not be read; retrying", err)
		}
		d.scheduler.offerAll(d.o.Now())
		d.load.Notify()
		d.feed.Notify()
		_ = d.poll.Wait(ctx, pollEvery)
	}
}

// warn logs an error, unless the dispatcher is stopping.
func (d *Dispatcher) warn(ctx context.Context, message string, err error) {
	if ctx.Err() == nil {
		d.o.Log.Warn(message, zap.Error(err))
	}
}

// targetOf returns an endpoint's state, which is read again after targetFor.
func (d *Dispatcher) targetOf(ctx context.Context, q *queue) (*target, error) {
	q.target.mu.Lock()
	defer q.target.mu.Unlock()
	now := d.o.Now()
	if t := q.target.value; t != nil && now.Sub(q.target.readAt) < targetFor && !now.Before(q.target.readAt) {
		return t, nil
	}
	e, err := d.o.Endpoint(ctx, q.id)
	if err != nil {
		q.target.value = nil
		return nil, err
	}
	q.target.value, q.target.readAt = newTarget(e), now
	return q.target.value, nil
}

// isGone reports whether an error of Options.Endpoint means that the endpoint does not exist.
func isGone(err error) bool { return subjects.CodeOf(err) == subjects.CodeNotFound }

// Add stores an event for endpoints in a transaction of Options.DB; after its commit the deliveries are due. An endpoint to which the
// event was added before is skipped: the first payload counts. It refuses an event that cannot be delivered, with CodeInvalid where the
// payload is too large.
func (d *Dispatcher) Add(ctx context.Context, tx database.Tx, e Event, endpointIDs []string) error {
	if err := e.check(); err != nil {
		return err
	}
	if len(endpointIDs) == 0 {
		return nil
	}
	now := d.o.Now().UnixMicro()
	sealed, err := d.o.Sealer.Seal(e.Payload, payloadContext(e.UserID, e.ID))
	if err != nil {
		return err
	}
	rows := make([]deliveryRow, len(endpointIDs))
	for i, id := range endpointIDs {
		rows[i] = deliveryRow{
			EndpointID: id, ID: d.o.NewID(), EventID: e.ID, UserID: e.UserID, Type: e.Type, Ordering: e.Ordering, Status: StatusPending,
			NextAttemptAt: now, CreatedAt: now,
		}
	}
	event := eventRow{UserID: e.UserID, ID: e.ID, Type: e.Type, At: e.At.UnixMicro(), CreatedAt: now, Payload: sealed}
	added, err := d.store.add(ctx, tx, event, rows)
	if err != nil {
		return err
	}
	payload, before := bytes.Clone(e.Payload), d.scheduler.offerings(rows)
	d.o.DB.AfterCommit(ctx, func() {
		if added == len(rows) { // otherwise an earlier payload may count, and some deliveries exist
			d.recent.add(eventKey{e.UserID, e.ID}, payload)
			d.scheduler.handOver(rows, before, d.o.Now())
		} else {
			d.scheduler.wake(endpointIDs...)
		}
		d.feed.Notify()
		d.load.Notify()
	})
	return nil
}

// wakeAfterCommit has deliveries of endpoints loaded after the transaction of ctx.
func (d *Dispatcher) wakeAfterCommit(ctx context.Context, endpointIDs ...string) {
	d.o.DB.AfterCommit(ctx, func() {
		d.scheduler.wake(endpointIDs...)
		d.load.Notify()
	})
}
