package mesh

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Setup creates or updates every stream, bucket and durable. It needs the NATS user setup. It is idempotent and keeps stored data.
// replicas is 1 on a single server, 3 on a cluster.
func Setup(ctx context.Context, js jetstream.JetStream, replicas int) error {
	if err := kv.Create(ctx, js, replicas); err != nil {
		return fmt.Errorf("creating buckets: %w", err)
	}
	for _, s := range subjects.Streams() {
		if _, err := js.CreateOrUpdateStream(ctx, streamConfig(s, replicas)); err != nil {
			return fmt.Errorf("creating stream %s: %w", s.Name, err)
		}
	}
	for _, c := range subjects.Consumers() {
		if _, err := js.CreateOrUpdateConsumer(ctx, c.Stream, consumerConfig(c)); err != nil {
			return fmt.Errorf("creating durable %s of %s: %w", c.Durable, c.Stream, err)
		}
	}
	return nil
}

func streamConfig(s subjects.Stream, replicas int) jetstream.StreamConfig {
	config := jetstream.StreamConfig{
		Name: s.Name, Description: s.Doc, Subjects: s.Subjects, MaxAge: s.MaxAge,
		Duplicates: s.Duplicates, Replicas: replicas, Storage: jetstream.FileStorage,
		DenyDelete: s.AppendOnly, DenyPurge: s.AppendOnly, AllowDirect: false,
	}
	if s.Retention == subjects.RetainWork {
		config.Retention = jetstream.WorkQueuePolicy
	}
	return config
}

func consumerConfig(c subjects.Consumer) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: c.Durable, FilterSubject: c.Filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: c.AckWait, MaxAckPending: 1024,
		// The runtime counts the attempts and moves the message to the dead-letter stream. JetStream's own limit would leave
		// it in the stream, undelivered.
		MaxDeliver: -1, DeliverPolicy: jetstream.DeliverAllPolicy,
	}
}
