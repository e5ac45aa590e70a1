package kv

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is a connection's JetStream that knows whose it is: mesh.JetStream.
//
// The server writes what it answers to a JetStream request to any reply subject, whatever the requester may publish. So a bucket may
// hold messages that its owner did not write, and a reader must verify each one (docs/adr/0010).
type JetStream interface {
	jetstream.JetStream
	// Verify returns an error unless author has signed the message for subject shortly before the stream stored it at stored.
	Verify(author, subject string, header nats.Header, data []byte, stored time.Time) error
	// Purge deletes the messages of a stream on subject with sequences below before; 0 deletes all on the subject. PurgeLater does not
	// wait for that.
	Purge(ctx context.Context, stream, subject string, before uint64) error
	PurgeLater(stream, subject string, before uint64) error
}

// errForeign: a message was not written by the only user that may write its key.
var errForeign = errors.New("kv: a message of another author is ignored")

// message is a stored message that its author wrote.
type message struct {
	header nats.Header
	data   []byte
	// sequence is 0 if the subject has no such message. latest is the sequence of the subject's last message, of any author, which is
	// what a conditional write must expect.
	sequence, latest uint64
	stored           time.Time
}

// source reads the messages of a stream whose authors are known.
type source struct {
	js     JetStream
	stream jetstream.Stream
	// author returns the only user that may publish a subject.
	author func(subject string) string
}

// openSource opens a stream. The error is ErrNoBucket if it does not exist.
func openSource(ctx context.Context, js JetStream, stream string, author func(subject string) string) (source, error) {
	if err := reachable(js); err != nil {
		return source{}, err
	}
	opened, err := js.Stream(ctx, stream)
	if err != nil {
		return source{}, err
	}
	return source{js: js, stream: opened, author: author}, nil
}

// verify checks that a message was published by its author.
func (s source) verify(subject string, header nats.Header, data []byte, stored time.Time) error {
	return s.js.Verify(s.author(subject), subject, header, data, stored)
}

// last reads the last message of a subject that its author wrote. The leader answers. The error is jetstream.ErrMsgNotFound if the
// subject has no message at all.
func (s source) last(ctx context.Context, subject string) (message, error) {
	raw, err := withAnswer(ctx, s.js, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.stream.GetLastMsgForSubject(ctx, subject)
	})
	if err != nil {
		return message{}, err
	}
	if s.verify(raw.Subject, raw.Header, raw.Data, raw.Time) == nil {
		return messageOf(raw, raw.Sequence), nil
	}
	return s.beneath(ctx, subject, raw.Sequence)
}

// beneath searches the messages of a subject up to latest for the last one that its author wrote.
func (s source) beneath(ctx context.Context, subject string, latest uint64) (message, error) {
	found := message{latest: latest}
	for next := uint64(1); next < latest; {
		raw, err := withAnswer(ctx, s.js, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return s.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return message{}, err
		}
		if s.verify(raw.Subject, raw.Header, raw.Data, raw.Time) == nil {
			found = messageOf(raw, latest)
		}
		next = raw.Sequence + 1
	}
	return found, nil
}

func messageOf(raw *jetstream.RawStreamMsg, latest uint64) message {
	return message{header: raw.Header, data: raw.Data, sequence: raw.Sequence, latest: latest, stored: raw.Time}
}

// isMarker reports whether a message deletes its key.
func (m message) isMarker() bool { return m.header.Get(operation) != "" }

// ttl returns the TTL that the author gave the message; 0 if none.
func (m message) ttl() time.Duration {
	ttl, err := time.ParseDuration(m.header.Get(jetstream.MsgTTLHeader))
	if err != nil {
		return 0
	}
	return ttl
}
