package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// writeID is the header that tells a write from all others, so that a writer that had no answer knows its message again.
const writeID = "Weft-Write"

// writeAttempts bounds how often a write finds that the key's last message has changed, and is not its author's.
const writeAttempts = 8

// write describes how a message is stored.
type write struct {
	ttl         time.Duration
	conditional bool
	// expect is the revision that the key must be at; 0 if its author must have written no message for it. An unconditional write that
	// has one saves a round trip where it is right.
	expect uint64
}

func (b *Bucket[T]) write(ctx context.Context, key string, value T, how write) (uint64, error) {
	data, err := encode(value)
	if err != nil {
		return 0, fmt.Errorf("encoding %s: %w", key, err)
	}
	return b.store(ctx, b.spec, key, &nats.Msg{Data: data, Header: nats.Header{}}, how)
}

// store publishes a message under a key and returns its sequence. Every write expects the sequence of the key's last message, so that a
// repetition of it is refused by the server. A last message of another author is passed over. A message that is not acknowledged is sent again; if
// another write has followed, it is not known whether it was stored, and the error of a conditional write is ErrUnavailable.
func (s source) store(ctx context.Context, spec Spec, key string, msg *nats.Msg, how write) (uint64, error) {
	if err := errors.Join(checkKey(key), checkWriter(spec, key)); err != nil {
		return 0, err
	}
	msg.Subject = spec.subject(key)
	id := nuid.Next()
	msg.Header.Set(writeID, id)
	expect, sent := how.expect, 0
	for range writeAttempts {
		sequence, err := withAnswer(ctx, s.js, func(ctx context.Context) (uint64, error) {
			sent++
			return s.publish(ctx, msg, how.ttl, expect)
		})
		if err == nil {
			return sequence, s.clean(spec, msg.Subject, expect, sequence)
		}
		if !errors.Is(classify(err), ErrConflict) {
			return 0, err
		}
		found, missing := s.last(ctx, msg.Subject)
		if missing != nil && !errors.Is(classify(missing), ErrNotFound) {
			return 0, missing
		}
		switch isRepeated := sent > 1; {
		case isRepeated && found.header.Get(writeID) == id:
			return found.sequence, s.clean(spec, msg.Subject, expect, found.sequence)
		case how.conditional && found.sequence != how.expect && isRepeated:
			return 0, errors.Join(ErrUnavailable, errUnknownOutcome)
		case how.conditional && found.sequence != how.expect:
			return 0, err
		}
		expect = found.latest
	}
	return 0, ErrConflict
}

var errUnknownOutcome = errors.New("a write was not acknowledged, and another one has followed")

// clean deletes the revisions before the one that was written. One that stays after a crash is deleted with the key's next revision.
// Those of a shared bucket expire instead, because its writers may not delete one another's keys.
func (s source) clean(spec Spec, subject string, before, written uint64) error {
	if before == 0 || spec.PerWriter() {
		return nil
	}
	if err := s.js.PurgeLater(spec.Stream(), subject, written); err != nil && s.js.Conn().IsConnected() {
		return fmt.Errorf("deleting old revisions: %w", err)
	}
	return nil
}

// publish stores a message if its subject's last message has a sequence.
func (s source) publish(ctx context.Context, msg *nats.Msg, ttl time.Duration, expect uint64) (uint64, error) {
	ttl, err := ttlSeconds(ttl)
	if err != nil {
		return 0, err
	}
	if ttl > 0 {
		msg.Header.Set(jetstream.MsgTTLHeader, ttl.String())
	}
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expect, 10))
	ack, err := s.js.PublishMsg(ctx, msg)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// markerLife is how long the marker of a deleted key is kept, for watchers that were disconnected during the deletion. It exceeds the
// time within which a message could be stored again with a valid signature.
const markerLife = 10 * time.Minute

// remove deletes a key: a marker replaces its value. If an earlier revision could outlive the marker, the marker stays until the earlier
// revisions are deleted.
func (b *Bucket[T]) remove(ctx context.Context, key string, how write) error {
	found, err := b.last(ctx, key)
	if errors.Is(classify(err), ErrNotFound) && (!how.conditional || how.expect == 0) {
		return nil
	}
	if err != nil && !errors.Is(classify(err), ErrNotFound) {
		return err
	}
	if how.conditional && found.entry.Revision != how.expect {
		return errConflictOf(key)
	}
	how.conditional, how.expect = true, found.entry.Revision
	if life := max(found.ttl, b.spec.TTL); life > 0 || found.gone {
		how.ttl = max(markerLife, life)
		return b.mark(ctx, key, how)
	}
	if err := b.mark(ctx, key, how); err != nil {
		return err
	}
	last, err := b.last(ctx, key)
	if err != nil || !last.gone {
		return nil //nolint:nilerr // it was written again; its next revision deletes the earlier ones
	}
	_, err = withAnswer(ctx, b.js, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.js.Purge(ctx, b.spec.Stream(), b.spec.subject(key), last.entry.Revision)
	})
	if err != nil {
		return fmt.Errorf("deleting old revisions: %w", err)
	}
	err = b.mark(ctx, key, write{ttl: markerLife, conditional: true, expect: last.entry.Revision})
	if errors.Is(classify(err), ErrConflict) {
		return nil
	}
	return err
}

// mark writes the marker of a deleted key.
func (b *Bucket[T]) mark(ctx context.Context, key string, how write) error {
	_, err := b.store(ctx, b.spec, key, marker(), how)
	return err
}

// marker returns the message that deletes a key.
func marker() *nats.Msg { return &nats.Msg{Header: nats.Header{operation: {"PURGE"}}} }

// errConflictOf is ErrConflict found by reading.
func errConflictOf(key string) error { return fmt.Errorf("%w: %s", ErrConflict, key) }

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
