package kv

import (
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

// markerLife is how long the marker of a deleted key stays, for watchers that were cut off when it was deleted.
const markerLife = 10 * time.Minute

// operation is the header in which nats.go and the nats CLI look for what a marker means.
const operation = "KV-Operation"

// Entry is one value as it is stored.
type Entry[T any] struct {
	Key   string
	Value T
	// Revision is the stream's sequence of this value, unique in the bucket and growing.
	Revision uint64
	// Created is when the server stored this value, by the server's clock.
	Created time.Time
}

// Bucket is a handle on one bucket whose values are T in JSON. It is safe for concurrent use.
type Bucket[T any] struct {
	spec   Spec
	js     jetstream.JetStream
	stream jetstream.Stream
	kv     jetstream.KeyValue
}

// Open binds to a bucket that setup has made. It needs $JS.API.STREAM.INFO for it and no right to create.
// ErrNoBucket when there is none, ErrUnavailable when NATS cannot be reached.
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

// Get returns the key's value; ErrNotFound when there is none. Unless the Spec says Direct, it sees every write that
// was acknowledged before the call.
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

// Create writes a key that must not exist and returns its revision; ErrExists when it does. ttl is rounded up to
// whole seconds; 0 means no end of its own.
func (b *Bucket[T]) Create(ctx context.Context, key string, value T, ttl time.Duration) (uint64, error) {
	revision, err := b.create(ctx, key, value, ttl)
	return revision, translate("creating in "+b.spec.Name, err)
}

func (b *Bucket[T]) create(ctx context.Context, key string, value T, ttl time.Duration) (uint64, error) {
	// A deleted key leaves a marker that the write must name; the marker may itself expire in between.
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

// Put writes the key whatever it holds, and returns its revision. A TTL that the key had is gone.
func (b *Bucket[T]) Put(ctx context.Context, key string, value T) (uint64, error) {
	return b.PutTTL(ctx, key, value, 0)
}

// PutTTL is Put with a TTL, rounded up to whole seconds.
func (b *Bucket[T]) PutTTL(ctx context.Context, key string, value T, ttl time.Duration) (uint64, error) {
	revision, err := b.write(ctx, key, value, write{ttl: ttl})
	return revision, translate("putting into "+b.spec.Name, err)
}

// Update writes the key if it is at revision, and returns the new one; ErrConflict otherwise. A TTL that the key
// had is gone.
func (b *Bucket[T]) Update(ctx context.Context, key string, value T, revision uint64) (uint64, error) {
	return b.UpdateTTL(ctx, key, value, revision, 0)
}

// UpdateTTL is Update with a TTL counted from now, rounded up to whole seconds: it slides a key's end.
func (b *Bucket[T]) UpdateTTL(ctx context.Context, key string, value T, revision uint64, ttl time.Duration) (uint64, error) {
	next, err := b.write(ctx, key, value, write{ttl: ttl, conditional: true, expect: revision})
	return next, translate("updating in "+b.spec.Name, err)
}

// Delete removes the key and its history. A key that is not there is no error.
func (b *Bucket[T]) Delete(ctx context.Context, key string) error {
	return translate("deleting from "+b.spec.Name, b.remove(ctx, key, write{}))
}

// DeleteRevision removes the key if it is at revision; ErrConflict otherwise.
func (b *Bucket[T]) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	return translate("deleting from "+b.spec.Name, b.remove(ctx, key, write{conditional: true, expect: revision}))
}

// Keys lists the keys that match filter (">" for all), sorted. It reads the headers of every match: for small
// buckets, tests and operators, not for a request's path.
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
				return nil, translate(doing, cmpErr(ctx.Err(), ErrUnavailable))
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

// cmpErr returns the first error that is not nil.
func cmpErr(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// stored is what a key's last message says.
type stored[T any] struct {
	entry Entry[T]
	// gone: the message is the marker of a deletion or an expiry.
	gone bool
}

// last reads the key's last message, markers included.
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
	// What a stream answered a direct get with, to a reply subject in this bucket: the server checks no right to
	// publish there, so it was not the owner's doing. It counts for nothing, and the owner may write over it. In a
	// Direct bucket every answer has the header, so such a bucket must hold nothing that gives a right.
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

// write says how a message is written: for how long, and on what condition.
type write struct {
	ttl         time.Duration
	conditional bool
	// expect is the revision that the key must be at; 0: there must be no message for it.
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

// purge is the marker that removes a key and its history.
func purge() *nats.Msg {
	header := nats.Header{}
	header.Set(operation, "PURGE")
	header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	return &nats.Msg{Header: header}
}

// publish stores one message for a key and returns its sequence.
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

// checkWriter refuses a key that no writer of a shared bucket owns; which one it is, the server decides.
func checkWriter(spec Spec, key string) error {
	owner, rest, _ := strings.Cut(key, ".")
	if spec.PerWriter() && (rest == "" || !slices.Contains(spec.Writers, owner)) {
		return fmt.Errorf("%w: %q does not begin with a writer of %s", ErrInvalidKey, key, spec.Name)
	}
	return nil
}

// reachable fails at once while the connection is down: nats.go would hold a request back and send it after
// reconnecting, long after the caller was told that it failed.
func reachable(js jetstream.JetStream) error {
	if conn := js.Conn(); !conn.IsConnected() {
		return errors.Join(ErrUnavailable, fmt.Errorf("connection is %s", strings.ToLower(conn.Status().String())))
	}
	return nil
}
