package kv_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// signatureHeader has the signature of author.
const signatureHeader = "Signature"

// testKey is the key of every user of these tests.
var testKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// author is the JetStream of a user that may write every bucket. (Package mesh, which has the real ones, imports kv.)
type author struct {
	jetstream.JetStream
	// api begins the subjects of privileged requests.
	api string
}

func signed(subject string, header nats.Header, data []byte) []byte {
	text := subject
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name != signatureHeader {
			text += fmt.Sprintf("|%q:%q", name, header[name])
		}
	}
	return append([]byte(text), data...)
}

func sign(m *nats.Msg) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header.Set(signatureHeader, hex.EncodeToString(ed25519.Sign(testKey, signed(m.Subject, m.Header, m.Data))))
}

func (a author) PublishAsync(subject string, data []byte, options ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	m := &nats.Msg{Subject: subject, Data: data}
	sign(m)
	return a.PublishMsgAsync(m, options...)
}

func (a author) PublishMsg(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	sign(m)
	return a.JetStream.PublishMsg(ctx, m, options...)
}

func (a author) Verify(author, subject string, header nats.Header, data []byte, _ time.Time) error {
	signature, err := hex.DecodeString(header.Get(signatureHeader))
	if err != nil || author == "" || !ed25519.Verify(testKey.Public().(ed25519.PublicKey), signed(subject, header, data), signature) {
		return errors.New("another author")
	}
	return nil
}

func (a author) Purge(ctx context.Context, stream, subject string, before uint64) error {
	s, err := a.Stream(ctx, stream)
	if err != nil {
		return err
	}
	return s.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before))
}

func (a author) PurgeLater(stream, subject string, before uint64) error {
	return a.Conn().PublishRequest(a.api+"STREAM.PURGE."+stream, a.Conn().NewInbox(), fmt.Appendf(nil, `{"filter":%q,"seq":%d}`, subject, before))
}
