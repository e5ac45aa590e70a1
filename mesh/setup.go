package mesh

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Setup creates those streams, buckets and durables that do not exist, as the NATS user migrate. It changes nothing that exists, except the
// public keys, which it publishes for processes that have no file of them.
// replicas is 1 on a single server, 3 or 5 on a cluster.
func Setup(ctx context.Context, js *JetStream, replicas int) error {
	plan, err := Compare(ctx, js, Target{Replicas: replicas})
	if err != nil {
		return err
	}
	if err := plan.ApplyMissing(ctx); err != nil {
		return err
	}
	return PublishKeyring(ctx, js)
}

// keyringName is the name of the public keys in the metadata of a stream's configuration.
const keyringName = "weft_public_keys"

// PublishKeyring publishes the public keys, as the NATS user migrate, for processes that have no file of them.
func PublishKeyring(ctx context.Context, js *JetStream) error {
	keys, err := json.Marshal(js.keyring)
	if err == nil {
		err = publishMetadata(ctx, js, keyringName, string(keys))
	}
	if err != nil {
		return fmt.Errorf("publishing the public keys: %w", err)
	}
	return nil
}

// fetchKeyring returns the public keys that a migration has published.
func fetchKeyring(ctx context.Context, js *JetStream) (Keyring, error) {
	stream, err := js.Stream(ctx, kv.Guards.Stream())
	if err != nil {
		return nil, fmt.Errorf("asking for the users' public keys, which weft migrate publishes: %w", err)
	}
	return ParseKeyring([]byte(stream.CachedInfo().Config.Metadata[keyringName]))
}

// required is a stream that weft needs: one of the contract's streams, a bucket's or an object store's.
type required struct {
	// kind and name are how people know it: "bucket", "auth_keys".
	kind, name string
	// stream is the stream's name.
	stream string
	// configure sets the options that weft decides and keeps all others.
	configure func(is jetstream.StreamConfig, replicas int) jetstream.StreamConfig
	// volatile permits migrations to empty the stream.
	volatile bool
}

// requiredStreams returns every stream that weft needs.
func requiredStreams() []required {
	var list []required
	for _, spec := range kv.All() {
		list = append(list, required{"bucket", spec.Name, spec.Stream(), spec.Configure, spec.Storage == kv.Volatile})
	}
	for _, spec := range kv.ObjectStores() {
		list = append(list, required{"object store", spec.Name, spec.Stream(), spec.Configure, false})
	}
	for _, s := range subjects.Streams() {
		configure := func(is jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
			return configureStream(s, is, replicas)
		}
		list = append(list, required{"stream", s.Name, s.Name, configure, false})
	}
	return list
}

// configureStream sets the options that the contract decides and keeps all others.
func configureStream(s subjects.Stream, config jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
	config.Name, config.Description, config.Subjects = s.Name, s.Doc, s.Subjects
	config.MaxAge, config.Duplicates, config.Replicas = s.MaxAge, s.Duplicates, replicas
	config.Storage = jetstream.FileStorage
	config.DenyDelete, config.DenyPurge, config.AllowDirect = s.AppendOnly, s.AppendOnly, false
	config.Retention = jetstream.LimitsPolicy
	if s.Retention == subjects.RetainWork {
		config.Retention = jetstream.WorkQueuePolicy
	}
	return config
}

// configureConsumer sets the options that the contract decides and keeps all others. The durable has as many replicas as its stream:
// 0 follows the stream, also when that changes, and a number of its own is set to the stream's.
func configureConsumer(c subjects.Consumer, config jetstream.ConsumerConfig, replicas int) jetstream.ConsumerConfig {
	config.Durable, config.FilterSubject, config.FilterSubjects = c.Durable, c.Filter, nil
	config.AckPolicy, config.AckWait, config.MaxAckPending = jetstream.AckExplicitPolicy, c.AckWait, maxAckPending
	// The runtime counts the attempts and moves the message to the dead-letter stream. JetStream's own limit would leave
	// it in the stream, undelivered.
	config.MaxDeliver, config.DeliverPolicy = -1, jetstream.DeliverAllPolicy
	if config.Replicas != 0 {
		config.Replicas = replicas
	}
	return config
}

// maxAckPending is how many messages of a durable may be delivered and not acknowledged.
const maxAckPending = 1024

// SubjectsOf returns the subjects that a stream, a bucket's stream or an object store's has; nil for a stream that weft does not know.
func SubjectsOf(stream string) []string {
	for _, r := range requiredStreams() {
		if r.stream == stream {
			return r.configure(jetstream.StreamConfig{}, 1).Subjects
		}
	}
	return nil
}
