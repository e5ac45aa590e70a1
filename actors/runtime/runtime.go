package runtime

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/mesh"
)

// DrainTimeout bounds how long a stopping actor waits for what it has begun.
const DrainTimeout = 30 * time.Second

const (
	// unsubscribeWithin bounds how long a stopping actor waits for requests that the server has sent already.
	unsubscribeWithin = 2 * time.Second
	// cancelGrace is what cancelled work gets to end.
	cancelGrace = 2 * time.Second
)

// Runtime serves one actor over one connection: it verifies who calls and whether they may, bounds time
// and concurrency, recovers panics, replays idempotent answers, and records metric, span and log line.
type Runtime struct {
	Conn      *mesh.Conn
	Verifier  *mesh.Verifier
	Guard     *actors.Guard
	Telemetry *mesh.Telemetry
	// Idempotency keeps the answers under idempotency keys; nil for an actor without a database.
	Idempotency *idempotency.Store
	// Loops are the runtime's own background work: they go on until what has begun has ended.
	Loops   map[string]func(context.Context) error
	Version string
	Now     func() time.Time

	service actors.Service
	// accepting ends when the runtime stops taking work, work when what it has taken must end.
	accepting, work context.Context
	inside          *gate
	crew            *crew
	counts          map[string]*endpointCount
}

// Run serves s until ctx ends, then drains: no new request or message is taken, and what has begun ends
// or is cancelled after DrainTimeout. ready is called once every endpoint answers.
func (r *Runtime) Run(ctx context.Context, s actors.Service, ready func()) error {
	r.service, r.inside, r.crew, r.accepting = s, newGate(), newCrew(), ctx
	defer r.crew.dismiss()
	var cancelWork context.CancelFunc
	r.work, cancelWork = context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()
	subscribed := r.Conn.NumSubscriptions()
	svc, err := r.register()
	if err != nil {
		return err
	}
	subscribed = r.Conn.NumSubscriptions() - subscribed
	workers, err := r.startWorkers(ctx, s.Workers)
	if err != nil {
		return errors.Join(err, svc.Stop())
	}
	own := r.startLoops(r.work, s.Background)
	shared := r.startLoops(r.work, r.Loops)
	defer shared.stop()
	if err := r.Conn.FlushWithContext(ctx); err != nil {
		own.stop()
		return errors.Join(fmt.Errorf("registering service %s: %w", s.Name, err), svc.Stop())
	}
	ready()
	<-ctx.Done()
	own.cancel()
	err = svc.Stop()
	workers.Wait()
	r.awaitUnsubscribed(subscribed)
	r.drain(own, cancelWork)
	return err
}

// register adds the service and its endpoints to the mesh.
func (r *Runtime) register() (micro.Service, error) {
	bindings := append(append([]actors.Binding{}, r.service.Bindings...), r.health())
	r.counts = map[string]*endpointCount{}
	for _, b := range bindings {
		r.counts[b.Desc.Method] = &endpointCount{instrument: r.Telemetry.Instrument(b.Desc.Actor, b.Desc.Method)}
	}
	svc, err := micro.AddService(r.Conn.Conn, micro.Config{
		Name: r.service.Name, Version: r.Version, Description: "weft " + r.service.Name,
		StatsHandler: func(e *micro.Endpoint) any { return r.counts[methodOf(e.Name)].snapshot() },
	})
	if err != nil {
		return nil, fmt.Errorf("registering service %s: %w", r.service.Name, err)
	}
	for _, b := range bindings {
		if err := r.serve(svc, b); err != nil {
			return nil, errors.Join(fmt.Errorf("serving %s: %w", b.Desc.Name(), err), svc.Stop())
		}
	}
	return svc, nil
}

// awaitUnsubscribed returns once the requests that were on their way have been taken: a subscription
// that drains is dropped when its last message has been.
func (r *Runtime) awaitUnsubscribed(count int) {
	target := r.Conn.NumSubscriptions() - count
	over := time.NewTimer(unsubscribeWithin)
	defer over.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.Conn.NumSubscriptions() > target && r.Conn.IsConnected() {
		select {
		case <-tick.C:
		case <-over.C:
			return
		}
	}
}

// drain waits for what has begun, at most DrainTimeout, and then cancels it.
func (r *Runtime) drain(own *loops, cancel context.CancelFunc) {
	idle := r.inside.close()
	done := make(chan struct{})
	go func() {
		<-idle
		own.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-time.After(DrainTimeout):
	}
	r.Telemetry.Log.Warn("cancelling work that is still under way", zap.String("actor", r.service.Name))
	cancel()
	select {
	case <-done:
	case <-time.After(cancelGrace):
		r.Telemetry.Log.Error("stopping with work under way", zap.String("actor", r.service.Name))
	}
}

// loops are background work that runs together.
type loops struct {
	running sync.WaitGroup
	cancel  context.CancelFunc
}

func (l *loops) stop() {
	l.cancel()
	l.running.Wait()
}

// startLoops runs each loop; one that fails starts again after a second.
func (r *Runtime) startLoops(ctx context.Context, all map[string]func(context.Context) error) *loops {
	l := &loops{}
	ctx, l.cancel = context.WithCancel(ctx)
	for name, loop := range all {
		l.running.Go(func() {
			for ctx.Err() == nil {
				err := recovered(func() error { return loop(ctx) })
				if err == nil || ctx.Err() != nil {
					return
				}
				r.Telemetry.Log.Error("background work failed",
					zap.String("actor", r.service.Name), zap.String("loop", name), zap.Error(err))
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	return l
}

// recovered turns a panic into an error that carries the stack.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
