package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/deferred"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/memory"
)

// DrainTimeout bounds how long a stopping actor waits for running work, unless Runtime.Drain says otherwise. What follows takes a few
// seconds at most, so that a process ends within 30 seconds.
const DrainTimeout = 22 * time.Second

const (
	// unsubscribeTimeout bounds how long a stopping actor waits for requests that the server has already sent.
	unsubscribeTimeout = 2 * time.Second
	// cancelGrace bounds how long canceled work may take to end.
	cancelGrace = 2 * time.Second
	// restartDelay is the delay before a failed background task or fetch is started again.
	restartDelay = time.Second
)

// Runtime serves one actor on one connection: it verifies callers and their access, bounds time and concurrency, recovers panics,
// replays answers under idempotency keys, and records metrics, a span and a log line for each request and message.
type Runtime struct {
	Conn      *mesh.Conn
	Verifier  *mesh.Verifier
	Guard     *actors.Guard
	Keys      *actors.Keys
	Telemetry *mesh.Telemetry
	// Idempotency records answers under idempotency keys; nil for an actor without a database.
	Idempotency *idempotency.Store
	// Deferred has the messages that workers deferred; nil for an actor without a database, whose messages wait in the stream.
	Deferred *deferred.Store
	// Edge is set at an edge node: it refuses callers, and answers say as of when they are.
	Edge *actors.Edge
	// Background has the runtime's own background tasks, which run until all work has ended.
	Background map[string]func(context.Context) error
	Version    string
	Now        func() time.Time
	// Memory bounds what requests take while they are decoded and handled; see NewMemory. Run sets it if it is nil.
	Memory *memory.Budget
	// Drain returns how long running work may take when the runtime begins to stop; DrainTimeout if nil.
	Drain func() time.Duration

	service actors.Service
	// accepting ends when the runtime stops taking work, and work when the work that it has taken must end.
	accepting, work context.Context
	running         *drainGroup
	pool            *goroutinePool
	cancellations   *cancellations
	semaphores      map[string]*boundedSemaphore
	consumers       []*consumer
	checks          map[string]*probe
	metrics         metrics
	// received counts the bytes of large messages that are accepted and not yet answered.
	received atomic.Int64
	// instruments are the metrics of each method.
	instruments map[string]*mesh.Instrument
}

// Run serves s until ctx ends, and then drains: it takes no new request or message, and waits for running work, which it cancels after
// Drain. What has not ended even then is left: the log says what. ready is called when all endpoints answer.
func (r *Runtime) Run(ctx context.Context, s actors.Service, ready func()) error {
	r.service, r.running, r.pool, r.accepting = s, newDrainGroup(), newGoroutinePool(), ctx
	r.metrics = newMetrics(r.Telemetry)
	if r.Memory == nil {
		r.Memory = NewMemory(nil)
	}
	defer r.pool.close()
	var cancelWork context.CancelFunc
	r.work, cancelWork = context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()
	r.cancellations = newCancellations()
	stop, err := r.cancellations.subscribe(r.Conn, s)
	if err != nil {
		return err
	}
	defer stop()
	if err := r.openConsumers(ctx, s.Workers); err != nil {
		return err
	}
	r.probeService()
	subscribed := r.Conn.NumSubscriptions()
	svc, err := r.register()
	if err != nil {
		return err
	}
	subscribed = r.Conn.NumSubscriptions() - subscribed
	workers := r.startWorkers()
	own := r.startBackground(r.work, s.Background)
	shared := r.startBackground(r.work, r.Background)
	defer func() { r.stopBackground(shared) }()
	if err := r.Conn.FlushWithContext(ctx); err != nil {
		r.stopBackground(own)
		return errors.Join(fmt.Errorf("registering service %s: %w", s.Name, err), svc.stop())
	}
	ready()
	<-ctx.Done()
	own.cancel()
	err = svc.stop()
	stopping := time.Now()
	r.awaitUnsubscribed(subscribed)
	r.drain(own, workers, stopping, cancelWork)
	return err
}

// register subscribes to NATS micro's discovery and to the subjects of the endpoints.
func (r *Runtime) register() (*microService, error) {
	bindings := append(slices.Clone(r.service.Bindings), r.healthCheck())
	r.instruments, r.semaphores = map[string]*mesh.Instrument{}, map[string]*boundedSemaphore{}
	for _, b := range bindings {
		r.instruments[b.Desc.Method] = r.Telemetry.Instrument(b.Desc.Actor, b.Desc.Method)
	}
	svc, err := r.addService()
	if err != nil {
		return nil, fmt.Errorf("registering service %s: %w", r.service.Name, err)
	}
	for _, b := range bindings {
		if err := r.serve(svc, b); err != nil {
			return nil, errors.Join(fmt.Errorf("serving %s: %w", b.Desc.Name(), err), svc.stop())
		}
	}
	return svc, nil
}

// awaitUnsubscribed waits until the requests that the server had already sent have been accepted: a draining subscription is removed
// after its last message.
func (r *Runtime) awaitUnsubscribed(count int) {
	ctx, cancel := context.WithTimeout(context.Background(), unsubscribeTimeout)
	defer cancel()
	target := r.Conn.NumSubscriptions() - count
	for r.Conn.NumSubscriptions() > target && r.Conn.IsConnected() {
		if wait.Sleep(ctx, 5*time.Millisecond) != nil {
			return
		}
	}
}

// drain waits for running requests, messages and background tasks, and cancels them when the time for them is over.
func (r *Runtime) drain(own *background, workers *sync.WaitGroup, since time.Time, cancel context.CancelFunc) {
	workersDone := make(chan struct{})
	go func() { workers.Wait(); close(workersDone) }()
	left := DrainTimeout
	if r.Drain != nil {
		left = r.Drain()
	}
	deadline := time.NewTimer(left - time.Since(since))
	defer deadline.Stop()
	select { // those that the workers still hold are handled
	case <-workersDone:
	case <-deadline.C:
		deadline.Reset(0)
	}
	drained, done := r.running.close(), make(chan struct{})
	go func() {
		<-drained
		own.running.Wait()
		<-workersDone
		close(done)
	}()
	select {
	case <-done:
		return
	case <-deadline.C:
	}
	log := r.Telemetry.Log.With(zap.String("actor", r.service.Name))
	log.Warn("canceling work that is still running", zap.Strings("work", r.unfinished(own)))
	cancel()
	select {
	case <-done:
	case <-time.After(cancelGrace):
		log.Error("stopping while work is still running; messages are delivered again, requests are not answered",
			zap.Strings("work", r.unfinished(own)))
	}
}

// unfinished names the endpoints, durables and background tasks of which something is running.
func (r *Runtime) unfinished(own *background) []string {
	names := own.unfinished()
	for name, semaphore := range r.semaphores {
		if count := semaphore.admitted.Load(); count > 0 {
			names = append(names, fmt.Sprintf("%s (%d)", name, count))
		}
	}
	for _, c := range r.consumers {
		fresh, _ := c.fresh.load()
		later, _ := c.later.load()
		if count := fresh + later; count > 0 {
			names = append(names, fmt.Sprintf("%s (%d)", c.w.Consumer.Durable, count))
		}
	}
	slices.Sort(names)
	return names
}

// background is a set of running background tasks.
type background struct {
	running sync.WaitGroup
	cancel  context.CancelFunc

	mu    sync.Mutex
	tasks map[string]bool // those that have not ended
}

func (b *background) ended(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tasks, name)
}

func (b *background) unfinished() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.tasks))
}

// stopBackground cancels tasks and waits for their end, up to cancelGrace.
func (r *Runtime) stopBackground(b *background) {
	b.cancel()
	done := make(chan struct{})
	go func() { b.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(cancelGrace):
		r.Telemetry.Log.Error("stopping while background tasks are still running",
			zap.String("actor", r.service.Name), zap.Strings("work", b.unfinished()))
	}
}

// startBackground runs each task. A task that fails or panics is started again after restartDelay; one that returns nil has ended.
func (r *Runtime) startBackground(ctx context.Context, tasks map[string]func(context.Context) error) *background {
	b := &background{tasks: map[string]bool{}}
	ctx, b.cancel = context.WithCancel(ctx)
	for name := range tasks {
		b.tasks[name] = true
	}
	for name, task := range tasks {
		b.running.Go(func() {
			defer b.ended(name)
			for ctx.Err() == nil {
				err := r.recovered(func() error { return task(ctx) })
				if err == nil || ctx.Err() != nil {
					return
				}
				r.Telemetry.Log.Error("background task failed",
					zap.String("actor", r.service.Name), zap.String("task", name), zap.Error(err))
				_ = wait.Sleep(ctx, restartDelay)
			}
		})
	}
	return b
}
