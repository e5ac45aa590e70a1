package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// resultsDurable is the durable consumer of the edge's events.
	resultsDurable = "edge_results"
	// resultsBatch bounds the events that are read at once.
	resultsBatch = 100
	// resultsRetry is the delay before an event is tried again that the outbox had no room for.
	resultsRetry = 5 * time.Second
)

// keepResults keeps what executions at the edge have come to for the hub, until ctx ends. An event that the outbox has no room for stays in
// the edge's stream of events.
func (n *Node) keepResults(ctx context.Context) error {
	for ctx.Err() == nil {
		err := n.followResults(ctx)
		if err != nil && ctx.Err() == nil {
			n.options.Log.Warn("reading the results of executions", zap.Error(err))
		}
		_ = wait.Sleep(ctx, time.Second)
	}
	return nil
}

func (n *Node) followResults(ctx context.Context) error {
	consumer, err := n.outbox.js.CreateOrUpdateConsumer(ctx, subjects.Events.Name, jetstream.ConsumerConfig{
		Durable: resultsDurable, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: resultsBatch,
		FilterSubjects: []string{subjects.ExecutionsFailed.Subject, subjects.ExecutionsFinished.Subject},
	})
	if err != nil {
		return fmt.Errorf("creating a consumer: %w", err)
	}
	for ctx.Err() == nil {
		batch, err := consumer.Fetch(resultsBatch, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return fmt.Errorf("fetching: %w", err)
		}
		for message := range batch.Messages() {
			if err := n.keepResult(ctx, message); err != nil {
				_ = message.NakWithDelay(resultsRetry)
				continue
			}
			_ = message.Ack()
		}
	}
	return nil
}

// keepResult keeps one event.
func (n *Node) keepResult(ctx context.Context, message jetstream.Msg) error {
	var event subjects.Envelope[json.RawMessage]
	err := json.Unmarshal(message.Data(), &event)
	if err != nil || event.UserID == "" {
		return nil //nolint:nilerr // the hub has no use for an event that is not of a user
	}
	kind := subjects.EdgeFinished
	if message.Subject() == subjects.ExecutionsFailed.Subject {
		kind = subjects.EdgeFailed
	}
	return n.outbox.keep(ctx, kind+"."+event.ID, subjects.EdgeMessage{Kind: kind, At: n.Now().UTC(), UserID: event.UserID, Data: event.Data})
}
