package kv_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/kv"
)

// lossy is a JetStream whose server stores the next messages and dies before it acknowledges them.
type lossy struct {
	kv.JetStream
	lost int
	// after is called after a message whose acknowledgement is lost.
	after func()
}

func (l *lossy) PublishMsg(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := l.JetStream.PublishMsg(ctx, m, options...)
	if err != nil || l.lost == 0 {
		return ack, err
	}
	l.lost--
	if l.after != nil {
		l.after()
	}
	return nil, context.DeadlineExceeded
}

// A write whose acknowledgement is lost is repeated, and stored once. Where another write has followed it, its outcome is unknown.
func TestLostAcknowledgements(t *testing.T) {
	t.Parallel()
	spec := kv.Spec{Name: "lossy", Owner: "test"}
	js := mesh(t, spec)
	other := open(t, js, spec)
	ctx := deadline(t)
	server := &lossy{JetStream: js}
	bucket := open(t, server, spec)

	server.lost = 2
	revision, err := bucket.Create(ctx, "a", value{"first", 1}, 0)
	if entry, read := other.Get(ctx, "a"); err != nil || read != nil || entry.Revision != revision || entry.Value != (value{"first", 1}) {
		t.Errorf("creating: %d, %v; %+v, %v", revision, err, entry, read)
	}
	server.lost = 1
	next, err := bucket.Update(ctx, "a", value{"second", 2}, revision)
	if err != nil || next != revision+1 {
		t.Errorf("updating revision %d: %d, %v", revision, next, err)
	}
	if _, err := bucket.Update(ctx, "a", value{"stale", 3}, revision); !errors.Is(err, kv.ErrConflict) {
		t.Errorf("updating an old revision: %v", err)
	}
	server.lost, server.after = 1, func() {
		_, err := other.Put(ctx, "a", value{"other", 4})
		must(t, err)
	}
	if _, err := bucket.Update(ctx, "a", value{"third", 3}, next); !errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrConflict) {
		t.Errorf("updating where another write has followed: %v", err)
	}
	server.lost, server.after = 1, nil
	if _, err := bucket.Put(ctx, "b", value{"put", 5}); err != nil {
		t.Errorf("putting: %v", err)
	}
	server.lost = 1
	if err := bucket.Delete(ctx, "a"); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if _, err := other.Get(ctx, "a"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("the deleted key: %v", err)
	}
}
