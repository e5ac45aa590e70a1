package kv

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

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
	source

	spec Spec
}

// Open opens a bucket that `weft migrate` has created. It needs the right to publish to $JS.API.STREAM.INFO for the bucket. The error is
// ErrNoBucket if the bucket does not exist, ErrUnavailable if NATS cannot be reached.
func Open[T any](ctx context.Context, js JetStream, spec Spec) (*Bucket[T], error) {
	from, err := openSource(ctx, js, spec.Stream(), spec.authorOf)
	if err != nil {
		return nil, translate("opening bucket "+spec.Name, err)
	}
	return &Bucket[T]{source: from, spec: spec}, nil
}

// Get returns the key's value, or ErrNotFound. It reflects every write acknowledged before the call.
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
func (b *Bucket[T]) Delete(ctx context.Context, key string) (err error) {
	for range writeAttempts {
		// A conflict means that the key was written or deleted between the reading and the marker.
		if err = b.remove(ctx, key, write{}); !errors.Is(classify(err), ErrConflict) {
			break
		}
	}
	return translate("deleting from "+b.spec.Name, err)
}

// DeleteRevision deletes the key if it is at revision; otherwise ErrConflict.
func (b *Bucket[T]) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	return translate("deleting from "+b.spec.Name, b.remove(ctx, key, write{conditional: true, expect: revision}))
}

// Keys returns the keys that match filter (">" for all), sorted. It reads the value of every matching key, so it is meant for small
// buckets, tests and operators, and for filters that match few keys.
func (b *Bucket[T]) Keys(ctx context.Context, filter string) ([]string, error) {
	doing := "listing keys of " + b.spec.Name
	if err := checkFilter(filter); err != nil {
		return nil, translate(doing, err)
	}
	if err := reachable(b.js); err != nil {
		return nil, translate(doing, err)
	}
	watching, err := b.watch(ctx, ctx, b.spec.subject(filter))
	if err != nil {
		return nil, translate(doing, err)
	}
	defer watching.end()
	keys := []string{}
	for range watching.pending {
		select {
		case d, open := <-watching.deliveries:
			if !open {
				return nil, translate(doing, cmp.Or(ctx.Err(), ErrUnavailable))
			}
			found, err := b.authentic(ctx, d)
			if err != nil {
				return nil, translate(doing, err)
			}
			if key, ok := b.spec.Key(d.subject); ok && found.sequence != 0 && !found.isMarker() {
				keys = append(keys, key)
			}
			if d.left == 0 {
				slices.Sort(keys)
				return slices.Compact(keys), nil
			}
		case <-ctx.Done():
			return nil, translate(doing, ctx.Err())
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// stored is the last message of a key that its author wrote.
type stored[T any] struct {
	entry Entry[T]
	// gone is set if there is none, or it is the marker of a deletion.
	gone bool
	// latest is the sequence of the key's last message, of any author.
	latest uint64
	ttl    time.Duration
}

// last reads the key's last message, including markers. Messages that somebody else had the server copy into the bucket do not count.
func (b *Bucket[T]) last(ctx context.Context, key string) (stored[T], error) {
	if err := checkKey(key); err != nil {
		return stored[T]{}, err
	}
	found, err := b.source.last(ctx, b.spec.subject(key))
	if err != nil {
		return stored[T]{}, err
	}
	result := stored[T]{entry: Entry[T]{Key: key, Revision: found.sequence, Created: found.stored}, latest: found.latest, ttl: found.ttl()}
	if found.sequence == 0 || found.isMarker() {
		result.gone = true
		return result, nil
	}
	if err := json.Unmarshal(found.data, &result.entry.Value); err != nil {
		return stored[T]{}, fmt.Errorf("decoding %s: %w", key, err)
	}
	return result, nil
}

// encode returns the JSON of a value, without the escapes of HTML, which take six bytes each.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
