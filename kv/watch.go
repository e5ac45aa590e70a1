package kv

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// delivery is a message as a watch delivers it.
type delivery struct {
	message

	subject string
	// left is how many messages the server still had to deliver when it sent this one.
	left uint64
}

// watchHeartbeat is the interval at which the server of a watch's consumer says that it is alive. After two without it the watch continues with a new
// consumer: until then, a server that has died holds up revocations, which every watch must have seen.
const watchHeartbeat = time.Second

// watching is a watch of the last messages of the subjects that match a filter, and of all that follow.
type watching struct {
	deliveries chan delivery
	// pending is how many messages the watch begins with.
	pending uint64
	sub     *nats.Subscription
	cancel  context.CancelFunc
}

// watch starts a watch, which lives until ctx ends or end is called. bounded bounds its start.
func (s source) watch(ctx, bounded context.Context, filter string) (watching, error) {
	// The ordered consumer of nats.go's former API: the jetstream package's own delivers by pull only, which is slower.
	js, err := s.js.Conn().JetStream(nats.MaxWait(answerWithin))
	if err != nil {
		return watching{}, err
	}
	lifetime, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(bounded, cancel)
	w := watching{deliveries: make(chan delivery, 256), cancel: cancel}
	w.sub, err = js.Subscribe(filter, func(m *nats.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return
		}
		d := delivery{
			message: message{header: m.Header, data: m.Data, sequence: meta.Sequence.Stream, latest: meta.Sequence.Stream, stored: meta.Timestamp},
			subject: m.Subject, left: meta.NumPending,
		}
		select {
		case w.deliveries <- d:
		case <-lifetime.Done():
		}
	}, nats.BindStream(s.stream.CachedInfo().Config.Name), nats.OrderedConsumer(), nats.DeliverLastPerSubject(),
		nats.IdleHeartbeat(watchHeartbeat), nats.Context(lifetime))
	if err != nil {
		cancel()
		return watching{}, cmp.Or(bounded.Err(), err)
	}
	if !stop() {
		w.end()
		return watching{}, bounded.Err()
	}
	if w.pending, err = w.sub.InitialConsumerPending(); err != nil {
		w.end()
		return watching{}, fmt.Errorf("starting a watch: %w", err)
	}
	w.sub.SetClosedHandler(func(string) { close(w.deliveries) })
	return w, nil
}

// end stops the watch in the background, because that requests the deletion of the consumer from the server.
func (w watching) end() {
	w.cancel()
	go func() { _ = w.sub.Unsubscribe() }()
}

// authentic returns a delivered message if its author wrote it, and otherwise the last one before it on its subject that its author
// wrote; one with the sequence 0 if there is none.
func (s source) authentic(ctx context.Context, d delivery) (message, error) {
	if s.verify(d.subject, d.header, d.data, d.stored) == nil {
		return d.message, nil
	}
	bounded, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	return s.beneath(bounded, d.subject, d.sequence)
}
