package kv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// markerLife is how long the marker of a deleted key is kept, for watchers that were disconnected during the deletion.
const markerLife = 10 * time.Minute

// operation is the header by which nats.go and the nats CLI recognise markers.
const operation = "KV-Operation"

// Entry is a stored value.
type Entry[T any] struct {
	Key   string
	Value T
	// Revision is the value's sequence in the stream: unique within the bucket and increasing.
	Revision uint64
	// Created is when the server stored the value, by the server's clock.
	Created time.Time
}

// Bucket is a handle on a bucket whose values are T, encoded as JSON. It is safe for concurrent use.
type Bucket[T any] struct {
	spec   Spec
	js     jetstream.JetStream
	stream jetstream.Stream
	kv     jetstream.KeyValue
}

// Open opens a bucket that `weft migrate` has created. It needs the right to publish to $JS.API.STREAM.INFO for the bucket. The error is
// ErrNoBucket if the bucket does not exist, ErrUnavailable if NATS cannot be reached.
func Open[T any](ctx context.Context, js jetstream.JetStream, spec Spec) (*Bucket[T], error) {
	doing := "opening bucket " + spec.Name
	if err := reachable(js); err != nil {
		return nil, translate(doing, err)
	}
	kv, err := js.KeyValue(ctx, spec.Name)
	if err != nil {
		return nil, translate(doing, err)
	}
	stream, err := js.Stream(ctx, spec.Stream())
	if err != nil {
		return nil, translate(doing, err)
	}
	return &Bucket[T]{spec: spec, js: js, stream: stream, kv: kv}, nil
}

// Get returns the key's value, or ErrNotFound. Unless Spec.Direct is set, it reflects every write acknowledged before the call.
func (b *Bucket[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	found, err := b.last(ctx, key)
	if err == nil && found.gone {
		err = ErrNotFound
	}
	if err != nil {
		return Entry[T]{}, translate("getting from "+b.spec.Name, err)
	}
	return found.entry, nil
}

// Create stores a value under a key that must not exist, and returns its revision; otherwise ErrExists. ttl is rounded up to
// whole seconds; 0 means that the key does not expire by itself.
func (b *Bucket[T]) Create(ctx context.Context, key string, value T, ttl time.Duration) (uint64, error) {
	revision, err := b.create(ctx, key, value, ttl)
	return revision, translate("creating in "+b.spec.Name, err)
}

func (b *Bucket[T]) create(ctx context.Context, key string, value T, ttl time.Duration) (uint64, error) {
	// A deleted key leaves a marker, whose revision the write must expect; the marker may expire concurrently.
	var expect uint64
	for range 4 {
		revision, err := b.write(ctx, key, value, write{ttl: ttl, conditional: true, expect: expect})
		if !errors.Is(classify(err), ErrConflict) {
			return revision, err
		}
		found, err := b.last(ctx, key)
		switch {
		case err == nil && !found.gone:
			return 0, ErrExists
		case err == nil:
			expect = found.entry.Revision
		case errors.Is(classify(err), ErrNotFound):
			expect = 0
		default:
			return 0, err
		}
	}
	return 0, ErrConflict
}

// Put stores a value unconditionally and returns its revision. It removes any TTL of the key.
func (b *Bucket[T]) Put(ctx context.Context, key string, value T) (uint64, error) {
	return b.PutTTL(ctx, key, value, 0)
}

// PutTTL is Put with a TTL, rounded up to whole seconds.
func (b *Bucket[T]) PutTTL(ctx context.Context, key string, value T, ttl time.Duration) (uint64, error) {
	revision, err := b.write(ctx, key, value, write{ttl: ttl})
	return revision, translate("putting into "+b.spec.Name, err)
}

// Update stores a value if the key is at revision, and returns the new revision; otherwise ErrConflict. It removes any TTL of
// the key.
func (b *Bucket[T]) Update(ctx context.Context, key string, value T, revision uint64) (uint64, error) {
	return b.UpdateTTL(ctx, key, value, revision, 0)
}

// UpdateTTL is Update with a TTL that begins now, rounded up to whole seconds. It extends the life of a key.
func (b *Bucket[T]) UpdateTTL(ctx context.Context, key string, value T, revision uint64, ttl time.Duration) (uint64, error) {
	next, err := b.write(ctx, key, value, write{ttl: ttl, conditional: true, expect: revision})
	return next, translate("updating in "+b.spec.Name, err)
}

// Delete deletes the key and its history. Deleting a key that does not exist is not an error.
func (b *Bucket[T]) Delete(ctx context.Context, key string) error {
	return translate("deleting from "+b.spec.Name, b.remove(ctx, key, write{}))
}

// DeleteRevision deletes the key if it is at revision; otherwise ErrConflict.
func (b *Bucket[T]) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	return translate("deleting from "+b.spec.Name, b.remove(ctx, key, write{conditional: true, expect: revision}))
}

// Keys returns the keys that match filter (">" for all), sorted. It reads the headers of every matching key, so it is meant for
// small buckets, tests and operators, not for serving requests.
func (b *Bucket[T]) Keys(ctx context.Context, filter string) ([]string, error) {
	doing := "listing keys of " + b.spec.Name
	if err := checkFilter(filter); err != nil {
		return nil, translate(doing, err)
	}
	if err := reachable(b.js); err != nil {
		return nil, translate(doing, err)
	}
	watcher, err := b.kv.Watch(ctx, filter, jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	if err != nil {
		return nil, translate(doing, err)
	}
	defer func() { _ = watcher.Stop() }()
	keys := []string{}
	for {
		select {
		case entry, open := <-watcher.Updates():
			if !open {
				return nil, translate(doing, cmp.Or(ctx.Err(), ErrUnavailable))
			}
			if entry == nil {
				slices.Sort(keys)
				return slices.Compact(keys), nil
			}
			keys = append(keys, entry.Key())
		case <-ctx.Done():
			return nil, translate(doing, ctx.Err())
		}
	}
}

// stored is the last message of a key.
type stored[T any] struct {
	entry Entry[T]
	// gone is set if the message is the marker of a deletion or expiry.
	gone bool
}

// last reads the key's last message, including markers.
func (b *Bucket[T]) last(ctx context.Context, key string) (stored[T], error) {
	if err := checkKey(key); err != nil {
		return stored[T]{}, err
	}
	if err := reachable(b.js); err != nil {
		return stored[T]{}, err
	}
	msg, err := b.stream.GetLastMsgForSubject(ctx, b.spec.subject(key))
	if err != nil {
		return stored[T]{}, err
	}
	found := stored[T]{entry: Entry[T]{Key: key, Revision: msg.Sequence, Created: msg.Time}}
	// A stream writes its answer to a direct get to any reply subject, without checking the requester's permission to
	// publish there. So a message with this header was not written by the owner: it is ignored, and the owner may
	// overwrite it. In a Direct bucket every answer has the header, so such a bucket must not hold anything that
	// grants a right.
	if !b.spec.Direct && msg.Header.Get(jetstream.StreamHeader) != "" {
		found.gone = true
		return found, nil
	}
	if msg.Header.Get(operation) != "" || msg.Header.Get(jetstream.MarkerReasonHeader) != "" {
		found.gone = true
		return found, nil
	}
	if err := json.Unmarshal(msg.Data, &found.entry.Value); err != nil {
		return stored[T]{}, fmt.Errorf("decoding %s: %w", key, err)
	}
	return found, nil
}

// write describes how a message is stored.
type write struct {
	ttl         time.Duration
	conditional bool
	// expect is the revision that the key must be at; 0 if there must be no message for it.
	expect uint64
}

func (b *Bucket[T]) write(ctx context.Context, key string, value T, how write) (uint64, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return 0, fmt.Errorf("encoding %s: %w", key, err)
	}
	msg := &nats.Msg{Data: data, Header: nats.Header{}}
	return publish(ctx, b.js, b.spec, key, msg, how)
}

func (b *Bucket[T]) remove(ctx context.Context, key string, how write) error {
	how.ttl = max(markerLife, b.spec.MarkerTTL)
	_, err := publish(ctx, b.js, b.spec, key, purge(), how)
	return err
}

// purge returns the marker that deletes a key and its history.
func purge() *nats.Msg {
	header := nats.Header{}
	header.Set(operation, "PURGE")
	header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	return &nats.Msg{Header: header}
}

// publish stores a message under a key and returns its sequence.
func publish(ctx context.Context, js jetstream.JetStream, spec Spec, key string, msg *nats.Msg, how write) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	if err := checkWriter(spec, key); err != nil {
		return 0, err
	}
	ttl, err := ttlSeconds(how.ttl)
	if err != nil {
		return 0, err
	}
	if err := reachable(js); err != nil {
		return 0, err
	}
	msg.Subject = spec.subject(key)
	if ttl > 0 {
		msg.Header.Set(jetstream.MsgTTLHeader, ttl.String())
	}
	if how.conditional {
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(how.expect, 10))
	}
	ack, err := js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// checkWriter rejects a key that belongs to none of the writers of a shared bucket. Which writer may write it is enforced by the
// server.
func checkWriter(spec Spec, key string) error {
	owner, rest, _ := strings.Cut(key, ".")
	if spec.PerWriter() && (rest == "" || !slices.Contains(spec.Writers, owner)) {
		return fmt.Errorf("%w: %q does not begin with a writer of %s", ErrInvalidKey, key, spec.Name)
	}
	return nil
}

// reachable fails immediately while the connection is down. Otherwise nats.go would buffer the request and send it after
// reconnecting, long after the caller has given up.
func reachable(js jetstream.JetStream) error {
	if conn := js.Conn(); !conn.IsConnected() {
		return errors.Join(ErrUnavailable, fmt.Errorf("connection is %s", strings.ToLower(conn.Status().String())))
	}
	return nil
}
