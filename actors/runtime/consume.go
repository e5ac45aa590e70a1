package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// fetchTimeout bounds one fetch of messages.
	fetchTimeout = 20 * time.Second
	// fetchHeartbeat is the server's heartbeat during a fetch, so that a fetch that was lost in a restart is noticed and repeated.
	fetchHeartbeat = 2 * time.Second
)

// startWorkers consumes the durable of each worker until the runtime stops. running ends when no more messages are taken.
func (r *Runtime) startWorkers(ctx context.Context, workers []actors.Worker) (running *sync.WaitGroup, err error) {
	consumers := make([]jetstream.Consumer, len(workers))
	for i, w := range workers {
		consumers[i], err = r.Conn.JS.Consumer(ctx, w.Consumer.Stream, w.Consumer.Durable)
		if err != nil {
			return nil, fmt.Errorf("opening durable %s of %s: %w", w.Consumer.Durable, w.Consumer.Stream, err)
		}
	}
	running = &sync.WaitGroup{}
	for i, w := range workers {
		running.Go(func() { r.consume(w, consumers[i]) })
	}
	return running, nil
}

// consume fetches only as many messages as can be handled at once. A message that waited in the process would be delivered to another
// process too, once its AckWait had passed.
func (r *Runtime) consume(w actors.Worker, consumer jetstream.Consumer) {
	semaphore := make(chan struct{}, w.Concurrency)
	for !r.isStopping() {
		free := r.acquireFree(semaphore)
		if free == 0 {
			return
		}
		taken, err := r.fetch(w, consumer, free, semaphore)
		for range free - taken {
			<-semaphore
		}
		if err == nil || r.isStopping() {
			continue
		}
		r.Telemetry.Log.Warn("fetching messages failed", zap.String("durable", w.Consumer.Durable), zap.Error(err))
		_ = wait.Sleep(r.accepting, restartDelay)
	}
}

// acquireFree waits until the semaphore has a free place and then acquires all that are free. It returns 0 if the runtime stops first.
func (r *Runtime) acquireFree(semaphore chan struct{}) (free int) {
	select {
	case semaphore <- struct{}{}:
		free++
	case <-r.accepting.Done():
		return 0
	}
	for {
		select {
		case semaphore <- struct{}{}:
			free++
		default:
			return free
		}
	}
}

// fetch fetches up to limit messages and starts a goroutine for each, which releases a place of the semaphore when it is done.
func (r *Runtime) fetch(w actors.Worker, consumer jetstream.Consumer, limit int, semaphore chan struct{}) (taken int, err error) {
	ctx, cancel := context.WithTimeout(r.work, fetchTimeout)
	defer cancel()
	defer context.AfterFunc(r.accepting, cancel)()
	batch, err := consumer.Fetch(limit, jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(fetchHeartbeat))
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		if r.isStopping() || !r.running.add() {
			r.giveBack(w, m)
			continue
		}
		taken++
		go func() {
			defer func() { <-semaphore; r.running.done() }()
			r.process(w, m)
		}()
	}
	if err := batch.Error(); err != nil && ctx.Err() == nil {
		return taken, err
	}
	return taken, nil
}

func (r *Runtime) isStopping() bool { return r.accepting.Err() != nil }

// giveBack rejects a message that this process, which is stopping, does not handle, so that it is delivered to another one.
func (r *Runtime) giveBack(w actors.Worker, m jetstream.Msg) {
	if err := m.Nak(); err != nil {
		r.Telemetry.Log.Warn("message not given back", zap.String("durable", w.Consumer.Durable), zap.Error(err))
	}
}

// process handles one message and settles it. A message that its author did not publish is removed from the consumer without an effect.
func (r *Runtime) process(w actors.Worker, m jetstream.Msg) {
	if err := r.Conn.JS.VerifyMessage(m); err != nil {
		if err := m.TermWithReason("not published by its author"); err != nil {
			r.Telemetry.Log.Warn("refused message not settled", zap.String("durable", w.Consumer.Durable), zap.Error(err))
		}
		return
	}
	start := time.Now()
	ctx := mesh.Propagator.Extract(r.work, mesh.Carrier(m.Headers()))
	ctx, span := r.Telemetry.Start(ctx, w.Consumer.Durable, trace.SpanKindConsumer)
	defer span.End()
	ctx = mesh.WithRequestID(ctx, m.Headers().Get(mesh.HeaderRequestID))
	// The message stays in progress while the handler runs, also after a lost connection: if the connection is restored within AckWait,
	// the message is not delivered again.
	handling, stop := context.WithCancel(context.Background())
	go func() { _ = wait.Every(handling, w.Consumer.AckWait/3, func() { _ = m.InProgress() }) }()
	err := recovered(func() error { return w.Handle(ctx, m.Data()) })
	stop()
	tries, sequence := uint64(1), uint64(0)
	if meta, e := m.Metadata(); e == nil {
		tries, sequence = meta.NumDelivered, meta.Sequence.Stream
	}
	settled := r.settle(w, m, err, tries, sequence)
	code := string(subjects.CodeOf(err))
	r.Telemetry.Instrument(r.service.Name, w.Consumer.Durable).Observe(code, time.Since(start))
	r.logMessage(ctx, w, err, tries, time.Since(start), settled)
}

// settle acknowledges a message, delays its redelivery or moves it to the dead-letter stream, according to the handler's error.
func (r *Runtime) settle(w actors.Worker, m jetstream.Msg, err error, tries, sequence uint64) error {
	switch {
	case err == nil:
		return m.Ack()
	case errors.Is(err, actors.ErrStepAside):
		return nil
	case subjects.Transient(err) && tries < uint64(w.Consumer.MaxDeliver):
		return m.NakWithDelay(w.Consumer.Backoff[min(int(tries)-1, len(w.Consumer.Backoff)-1)])
	}
	if e := r.deadLetter(w, m, err, tries, sequence); e != nil {
		return errors.Join(e, m.NakWithDelay(deadLetterRetry))
	}
	return m.TermWithReason(string(subjects.CodeOf(err)))
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
