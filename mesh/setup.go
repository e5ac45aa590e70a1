package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Setup creates or updates every stream, bucket and durable, and publishes the users' public keys for processes that have no file of
// them. It needs the NATS user setup. It is idempotent and keeps stored data. replicas is 1 on a single server, 3 on a cluster.
func Setup(ctx context.Context, js *JetStream, replicas int) error {
	if err := kv.Create(ctx, js, replicas); err != nil {
		return fmt.Errorf("creating buckets: %w", err)
	}
	if err := publishKeyring(ctx, js); err != nil {
		return err
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

// keyringName is the name of the public keys in the metadata of a stream's configuration.
const keyringName = "weft_public_keys"

// publishKeyring puts the public keys into the configuration of a stream that every user may ask for. Only setup may change it: the server
// checks that, unlike who publishes what a stream holds.
func publishKeyring(ctx context.Context, js *JetStream) error {
	keys, err := json.Marshal(js.keyring)
	if err != nil {
		return fmt.Errorf("encoding the public keys: %w", err)
	}
	stream, err := js.Stream(ctx, kv.Guards.Stream())
	if err != nil {
		return fmt.Errorf("publishing the public keys: %w", err)
	}
	config := stream.CachedInfo().Config
	if config.Metadata[keyringName] == string(keys) {
		return nil
	}
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[keyringName] = string(keys)
	if _, err := js.UpdateStream(ctx, config); err != nil {
		return fmt.Errorf("publishing the public keys: %w", err)
	}
	return nil
}

// fetchKeyring returns the public keys that setup has published.
func fetchKeyring(ctx context.Context, js *JetStream) (Keyring, error) {
	stream, err := js.Stream(ctx, kv.Guards.Stream())
	if err != nil {
		return nil, fmt.Errorf("asking for the users' public keys, which weft migrate publishes: %w", err)
	}
	return ParseKeyring([]byte(stream.CachedInfo().Config.Metadata[keyringName]))
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
