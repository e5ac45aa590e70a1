package kv

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Storage says how a bucket's values are stored.
type Storage uint8

const (
	// File stores values on disk: an acknowledged write survives a crash as far as the server's sync interval says.
	File Storage = iota
	// Volatile is for values that may be lost in a crash, and avoids syncing: with one replica a file with asynchronous writes
	// (a single server would lose a bucket in memory on restart), with more replicas memory.
	Volatile
)

// Spec declares a bucket. The declarations are in buckets.go; tests may declare others.
type Spec struct {
	// Name is the bucket's name: letters, digits, '_' and '-'.
	Name string
	// Owner is the only NATS user that writes to the bucket; it also reads and watches it. Empty if Writers share the bucket.
	Owner string
	// Writers share a bucket without an owner: each may write only keys that begin with its own name and a dot.
	Writers []string
	// Readers read and watch the bucket.
	Readers []string
	// TTL expires every key this long after its last write; 0 keeps keys until they are deleted. In any bucket a key may
	// also be written with a TTL of its own.
	TTL     time.Duration
	Storage Storage
	// MaxBytes limits the bucket's size and reserves that much of the server's storage; a write over it is ErrUnavailable. 0 is
	// unlimited.
	MaxBytes int64
	// Doc describes the contents in one sentence.
	Doc string
}

// duplicates is the deduplication window of a bucket's stream. This package does not depend on it.
const duplicates = 2 * time.Minute

// PerWriter reports whether each writer may write only keys under its own name.
func (s Spec) PerWriter() bool { return len(s.Writers) > 0 }

// Stream is the name of the JetStream stream that holds the bucket.
func (s Spec) Stream() string { return "KV_" + s.Name }

// subject returns the subject of a key.
func (s Spec) subject(key string) string { return "$KV." + s.Name + "." + key }

// Key returns the key that a subject stands for, if it is one of the bucket's.
func (s Spec) Key(subject string) (string, bool) { return strings.CutPrefix(subject, s.subject("")) }

// Author returns the only NATS user that may write a key; empty if none may.
func (s Spec) Author(key string) string {
	if !s.PerWriter() {
		return s.Owner
	}
	if writer, _, more := strings.Cut(key, "."); more && slices.Contains(s.Writers, writer) {
		return writer
	}
	return ""
}

// authorOf is Author for the subject of a key.
func (s Spec) authorOf(subject string) string {
	key, ok := s.Key(subject)
	if !ok {
		return ""
	}
	return s.Author(key)
}

// Private reports whether the owner is the only reader. Nobody else needs to be able to verify what the bucket holds.
func (s Spec) Private() bool { return !s.PerWriter() && len(s.Readers) == 0 }

// Permissions returns the subjects that the NATS user must be allowed to publish to for this bucket: exactly those that Bucket,
// Map, Lease and Live use; nil for a user without access. The user also needs to subscribe to its own inbox prefix.
func (s Spec) Permissions(user string) []string {
	var list []string
	owner, writer := s.Owner == user, slices.Contains(s.Writers, user)
	switch {
	case owner:
		list = append(list, s.subject(">"), "$JS.API.*.STREAM.PURGE."+s.Stream())
	case writer:
		list = append(list, s.subject(user+".>"))
	}
	info, get := "$JS.API.STREAM.INFO."+s.Stream(), "$JS.API.STREAM.MSG.GET."+s.Stream()
	if owner || slices.Contains(s.Readers, user) {
		return append(list, info, get,
			"$JS.API.CONSUMER.CREATE."+s.Stream()+".>",
			"$JS.API.CONSUMER.DELETE."+s.Stream()+".>",
			// A watch of more than a few megabytes stalls unless the client may answer the server's flow control, on a
			// subject of one of these forms.
			"$JS.FC."+s.Stream()+".>",
			"$JS.FC.*.*."+s.Stream()+".>")
	}
	if writer {
		list = append(list, info, get)
	}
	return list
}

// manyRevisions is a number of revisions that no key reaches. Unlike "unlimited" it lets the nats CLI recognise a bucket.
const manyRevisions = 1 << 40

// Configure sets the options that the Spec decides and keeps all others, so that an operator's placement, for example, survives a
// migration.
func (s Spec) Configure(config jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
	config.Name = s.Stream()
	config.Description = s.Doc
	config.Subjects = []string{s.subject(">")}
	config.Retention = jetstream.LimitsPolicy
	config.Storage, config.PersistMode = s.storage(replicas)
	// A message that somebody else had the server copy into the bucket must not displace what its author wrote, so the server drops
	// no revision: the author deletes those before the one that it has written.
	config.MaxMsgsPerSubject = manyRevisions
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
	config.AllowRollup, config.DenyDelete, config.DenyPurge = false, true, false
	config.AllowDirect, config.MirrorDirect = false, false
	config.AllowMsgTTL = true
	config.SubjectDeleteMarkerTTL = 0
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

// ttlSeconds rounds a TTL up to whole seconds, because the server ignores fractions and rejects values below one second. 0 stays
// 0, which means no TTL.
func ttlSeconds(ttl time.Duration) (time.Duration, error) {
	if ttl < 0 {
		return 0, fmt.Errorf("%w: negative TTL %s", ErrInvalidArgument, ttl)
	}
	return (ttl + time.Second - 1).Truncate(time.Second), nil
}
