package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// fetchFor is how long one ask for messages stands; fetchHeartbeat is how often the server says meanwhile
// that it still knows of it, so that an ask that a restart has lost is soon made again.
const (
	fetchFor       = 20 * time.Second
	fetchHeartbeat = 2 * time.Second
)

// startWorkers consumes each worker's durable until the runtime stops; running ends when all have ceased to
// take messages.
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

// consume asks for as many messages as it has slots free: a message that waits in a process without being
// worked on would come to another one too, once its AckWait is over.
func (r *Runtime) consume(w actors.Worker, consumer jetstream.Consumer) {
	slots := make(chan struct{}, w.Concurrency)
	for !r.isStopping() {
		free := r.freeSlots(slots)
		if free == 0 {
			return
		}
		taken, err := r.fetch(w, consumer, free, slots)
		for range free - taken {
			<-slots
		}
		if err == nil || r.isStopping() {
			continue
		}
		r.Telemetry.Log.Warn("consuming", zap.String("durable", w.Consumer.Durable), zap.Error(err))
		select {
		case <-time.After(time.Second):
		case <-r.accepting.Done():
		}
	}
}

// freeSlots takes one slot, as soon as there is one, and every further one that is free now; none when the
// runtime stops first.
func (r *Runtime) freeSlots(slots chan struct{}) (free int) {
	select {
	case slots <- struct{}{}:
		free++
	case <-r.accepting.Done():
		return 0
	}
	for {
		select {
		case slots <- struct{}{}:
			free++
		default:
			return free
		}
	}
}

// fetch asks for messages and has each worked off in one of the slots taken for it.
func (r *Runtime) fetch(w actors.Worker, consumer jetstream.Consumer, most int, slots chan struct{}) (taken int, err error) {
	ctx, cancel := context.WithTimeout(r.work, fetchFor)
	defer cancel()
	defer context.AfterFunc(r.accepting, cancel)()
	batch, err := consumer.Fetch(most, jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(fetchHeartbeat))
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		if r.isStopping() || !r.inside.enter() {
			r.giveBack(w, m)
			continue
		}
		taken++
		go func() {
			defer func() { <-slots; r.inside.leave() }()
			r.workOff(w, m)
		}()
	}
	if err := batch.Error(); err != nil && ctx.Err() == nil {
		return taken, err
	}
	return taken, nil
}

func (r *Runtime) isStopping() bool { return r.accepting.Err() != nil }

// giveBack lets another process have a message that this one, stopping, does not begin.
func (r *Runtime) giveBack(w actors.Worker, m jetstream.Msg) {
	if err := m.Nak(); err != nil {
		r.Telemetry.Log.Warn("giving a message back", zap.String("durable", w.Consumer.Durable), zap.Error(err))
	}
}

// workOff handles one message and settles it.
func (r *Runtime) workOff(w actors.Worker, m jetstream.Msg) {
	start := time.Now()
	ctx := mesh.Propagator.Extract(r.work, mesh.Carrier(m.Headers()))
	ctx, span := r.Telemetry.Start(ctx, w.Consumer.Durable, trace.SpanKindConsumer)
	defer span.End()
	ctx = mesh.WithRequestID(ctx, m.Headers().Get(mesh.HeaderRequestID))
	done := make(chan struct{})
	go keepAlive(m, w.Consumer.AckWait/3, done)
	err := recovered(func() error { return w.Handle(ctx, m.Data()) })
	close(done)
	tries := uint64(1)
	sequence := uint64(0)
	if meta, e := m.Metadata(); e == nil {
		tries, sequence = meta.NumDelivered, meta.Sequence.Stream
	}
	settled := r.settle(w, m, err, tries, sequence)
	code := string(subjects.CodeOf(err))
	r.Telemetry.Instrument(r.service.Name, w.Consumer.Durable).Observe(code, time.Since(start))
	r.logWork(ctx, w, err, tries, time.Since(start), settled)
}

// settle acknowledges, delays or buries a message.
func (r *Runtime) settle(w actors.Worker, m jetstream.Msg, err error, tries, sequence uint64) error {
	if err == nil {
		return m.Ack()
	}
	if errors.Is(err, actors.ErrStepAside) {
		return nil
	}
	if passing(err) && tries < uint64(w.Consumer.MaxDeliver) {
		return m.NakWithDelay(w.Consumer.Backoff[min(int(tries)-1, len(w.Consumer.Backoff)-1)])
	}
	letter, e := json.Marshal(subjects.DeadLetter{
		Stream: w.Consumer.Stream, Sequence: sequence, Subject: m.Subject(), Durable: w.Consumer.Durable,
		Error: clip(err.Error(), maxLetterError), Tries: tries, Time: r.Now().UTC(), Data: letterData(m.Data()),
	})
	if e != nil {
		return fmt.Errorf("encoding a dead letter: %w", e)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, e = r.Conn.JS.PublishMsg(ctx, &nats.Msg{Subject: w.Consumer.DeadSubject(), Data: letter},
		jetstream.WithMsgID(fmt.Sprintf("%s.%s.%d", w.Consumer.Stream, w.Consumer.Durable, sequence)))
	if e != nil {
		// Not buried, so not forgotten: it comes again.
		return errors.Join(e, m.NakWithDelay(time.Minute))
	}
	return m.TermWithReason(string(subjects.CodeOf(err)))
}

const (
	// maxLetterError bounds the error that a dead letter tells, in bytes.
	maxLetterError = 4 << 10
	// maxLetterText bounds what a dead letter keeps of a message that is no JSON, in bytes.
	maxLetterText = 64 << 10
)

// letterData is a message as a dead letter keeps it: what is no JSON, as a JSON string.
func letterData(data []byte) json.RawMessage {
	if json.Valid(data) {
		return data
	}
	text, err := json.Marshal(clip(string(data), maxLetterText))
	if err != nil {
		return json.RawMessage(`null`)
	}
	return text
}

func clip(s string, most int) string { return s[:min(len(s), most)] }

// passing tells whether another try makes sense.
func passing(err error) bool {
	switch subjects.CodeOf(err) {
	case subjects.CodeUnavailable, subjects.CodeTimeout, subjects.CodeRateLimited, subjects.CodeInternal:
		return true
	}
	return false
}

// keepAlive tells the server that a long handler is still at work. It goes on over a lost line: what is
// restored within AckWait is then not delivered again.
func keepAlive(m jetstream.Msg, every time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			_ = m.InProgress()
		}
	}
}

func (r *Runtime) logWork(ctx context.Context, w actors.Worker, err error, tries uint64, took time.Duration, settled error) {
	fields := []zap.Field{
		zap.String("durable", w.Consumer.Durable), zap.String("trace_id", mesh.TraceID(ctx)),
		zap.Uint64("try", tries), zap.Duration("took", took),
	}
	switch {
	case errors.Is(err, actors.ErrStepAside):
		r.Telemetry.Log.Debug("stepping aside: another works on it", fields...)
	case err != nil:
		r.Telemetry.Log.Warn("message failed", append(fields, zap.String("code", string(subjects.CodeOf(err))), zap.Error(err))...)
	default:
		r.Telemetry.Log.Debug("message worked off", fields...)
	}
	if settled != nil {
		r.Telemetry.Log.Warn("settling a message", zap.String("durable", w.Consumer.Durable), zap.Error(settled))
	}
}
