package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/deferred"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
)

// DrainTimeout bounds how long a stopping actor waits for running work.
const DrainTimeout = 30 * time.Second

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
	// Deferred has the messages that workers put aside; nil for an actor without a database, whose messages wait in the stream.
	Deferred *deferred.Store
	// Background has the runtime's own background tasks, which run until all work has ended.
	Background map[string]func(context.Context) error
	Version    string
	Now        func() time.Time

	service actors.Service
	// accepting ends when the runtime stops taking work, and work when the work that it has taken must end.
	accepting, work context.Context
	running         *drainGroup
	pool            *goroutinePool
	cancellations   *cancellations
	consumers       []*consumer
	checks          map[string]*probe
	metrics         metrics
	// instruments are the metrics of each method.
	instruments map[string]*mesh.Instrument
}

// Run serves s until ctx ends, and then drains: it takes no new request or message, and waits for running work, which it cancels after
// DrainTimeout. ready is called when all endpoints answer.
func (r *Runtime) Run(ctx context.Context, s actors.Service, ready func()) error {
	r.service, r.running, r.pool, r.accepting = s, newDrainGroup(), newGoroutinePool(), ctx
	r.metrics = newMetrics(r.Telemetry)
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
	defer shared.stop()
	if err := r.Conn.FlushWithContext(ctx); err != nil {
		own.stop()
		return errors.Join(fmt.Errorf("registering service %s: %w", s.Name, err), svc.stop())
	}
	ready()
	<-ctx.Done()
	own.cancel()
	err = svc.stop()
	workers.Wait()
	r.awaitUnsubscribed(subscribed)
	r.drain(own, cancelWork)
	return err
}

// register subscribes to NATS micro's discovery and to the subjects of the endpoints.
func (r *Runtime) register() (*microService, error) {
	bindings := append(slices.Clone(r.service.Bindings), r.healthCheck())
	r.instruments = map[string]*mesh.Instrument{}
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

// drain waits for running requests, messages and background tasks, and cancels them after DrainTimeout.
func (r *Runtime) drain(own *background, cancel context.CancelFunc) {
	drained := r.running.close()
	done := make(chan struct{})
	go func() {
		<-drained
		own.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-time.After(DrainTimeout):
	}
	r.Telemetry.Log.Warn("canceling work that is still running", zap.String("actor", r.service.Name))
	cancel()
	select {
	case <-done:
	case <-time.After(cancelGrace):
		r.Telemetry.Log.Error("stopping while work is still running", zap.String("actor", r.service.Name))
	}
}

// background is a set of running background tasks.
type background struct {
	running sync.WaitGroup
	cancel  context.CancelFunc
}

// stop cancels the tasks and waits for their end.
func (b *background) stop() {
	b.cancel()
	b.running.Wait()
}

// startBackground runs each task. A task that fails or panics is started again after restartDelay; one that returns nil has ended.
func (r *Runtime) startBackground(ctx context.Context, tasks map[string]func(context.Context) error) *background {
	b := &background{}
	ctx, b.cancel = context.WithCancel(ctx)
	for name, task := range tasks {
		b.running.Go(func() {
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
