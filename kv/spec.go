package kv

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Storage says how a bucket's values are kept.
type Storage uint8

const (
	// File keeps every acknowledged write through a crash of the server, as durably as the server is told to sync.
	File Storage = iota
	// Volatile is for what may be lost in a crash, and costs no sync: on one replica a file that is written behind (a server
	// alone forgets, on restart, that a bucket in memory ever was), on more replicas memory.
	Volatile
)

// Spec declares one bucket. The declarations are in buckets.go; tests may declare others.
type Spec struct {
	// Name is the bucket's name: letters, digits, '_' and '-'.
	Name string
	// Owner is the NATS user that alone writes to the bucket, reads it and watches it. Empty when Writers share it.
	Owner string
	// Writers share a bucket without an owner: each writes only keys that begin with its own name and a dot.
	Writers []string
	// Readers read and watch.
	Readers []string
	// TTL ends every key this long after it was last written; 0: keys live until deleted. A key may besides be
	// written with a TTL of its own, in every bucket.
	TTL time.Duration
	// MarkerTTL is how long a marker stays where a TTL removed a key, so that a watcher learns of it; at least a
	// second. 0: an expired key vanishes without a word, right for buckets that nobody watches.
	MarkerTTL time.Duration
	Storage   Storage
	// History is how many revisions of a key are kept; 0 means 1.
	History uint8
	// Direct lets any replica answer a get: faster, and without read-your-writes. False: the leader answers.
	Direct bool
	// MaxBytes bounds the bucket, and reserves that much of the server's storage; a write past it is
	// ErrUnavailable. 0: unbounded.
	MaxBytes int64
	// Doc is one sentence on what the bucket holds.
	Doc string
}

// duplicates is the dedupe window of a bucket's stream; nothing here rests on it.
const duplicates = 2 * time.Minute

// PerWriter reports whether each writer owns only the keys under its own name.
func (s Spec) PerWriter() bool { return len(s.Writers) > 0 }

// Stream is the name of the JetStream stream that keeps the bucket.
func (s Spec) Stream() string { return "KV_" + s.Name }

// subject is the subject of a key.
func (s Spec) subject(key string) string { return "$KV." + s.Name + "." + key }

// Permissions lists the subjects that the NATS user may publish for this bucket: all that Bucket, Map, Lease
// and Live of this package ask, and nothing else; nil for a user with no business here. The user needs besides
// to subscribe to its own inbox prefix.
func (s Spec) Permissions(user string) []string {
	info, get := "$JS.API.STREAM.INFO."+s.Stream(), "$JS.API.STREAM.MSG.GET."+s.Stream()
	if s.Direct {
		get = "$JS.API.DIRECT.GET." + s.Stream() + ".>"
	}
	var list []string
	owner, writer := s.Owner == user, slices.Contains(s.Writers, user)
	switch {
	case owner:
		list = append(list, s.subject(">"))
	case writer:
		list = append(list, s.subject(user+".>"))
	}
	if owner || slices.Contains(s.Readers, user) {
		return append(list, info, get,
			"$JS.API.CONSUMER.CREATE."+s.Stream()+".>",
			"$JS.API.CONSUMER.DELETE."+s.Stream()+".>",
			// A watch of more than a few megabytes stands still unless it may answer the server's flow control, whose
			// subject has one of these forms.
			"$JS.FC."+s.Stream()+".>",
			"$JS.FC.*.*."+s.Stream()+".>")
	}
	if writer {
		list = append(list, info)
	}
	return list
}

// apply lays what the Spec decides over config and leaves every other option as it is: an operator's placement,
// or an option newer than this package, survives Create.
func (s Spec) apply(config jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
	config.Name = s.Stream()
	config.Description = s.Doc
	config.Subjects = []string{s.subject(">")}
	config.Retention = jetstream.LimitsPolicy
	config.Storage, config.PersistMode = s.storage(replicas)
	config.MaxMsgsPerSubject = max(1, int64(s.History))
	config.MaxMsgs, config.MaxConsumers, config.MaxMsgSize = -1, -1, -1
	config.MaxBytes = -1
	if s.MaxBytes > 0 {
		config.MaxBytes = s.MaxBytes
	}
	config.MaxAge = s.TTL
	config.Duplicates = duplicates
	if s.TTL > 0 {
		config.Duplicates = min(duplicates, s.TTL)
	}
	config.Discard = jetstream.DiscardNew
	config.AllowRollup, config.DenyDelete, config.DenyPurge = true, true, false
	config.AllowDirect = s.Direct
	config.AllowMsgTTL = true
	config.SubjectDeleteMarkerTTL = s.MarkerTTL
	config.Replicas = replicas
	return config
}

func (s Spec) storage(replicas int) (jetstream.StorageType, jetstream.PersistModeType) {
	switch {
	case s.Storage == File:
		return jetstream.FileStorage, jetstream.DefaultPersistMode
	case replicas > 1:
		return jetstream.MemoryStorage, jetstream.DefaultPersistMode
	}
	return jetstream.FileStorage, jetstream.AsyncPersistMode
}

// ttlSeconds is what a TTL is on the wire: whole seconds, rounded up, because the server drops fractions and
// refuses less than one. 0 stays 0, which is no TTL.
func ttlSeconds(ttl time.Duration) (time.Duration, error) {
	if ttl < 0 {
		return 0, fmt.Errorf("%w: negative TTL %s", ErrInvalidArgument, ttl)
	}
	return (ttl + time.Second - 1).Truncate(time.Second), nil
}
