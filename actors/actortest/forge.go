package actortest

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Forge stores messages on a subject that another user than its author wrote, as that user can have the NATS server do: one signed by the
// attacker, one unsigned, and one without content. author's connection serves only to reach the subject. It returns when they are stored.
func (m *Mesh) Forge(t testing.TB, attacker, author, subject string, data []byte) {
	t.Helper()
	signed := &nats.Msg{Subject: subject, Data: data}
	m.Conn(t, attacker).JS.Sign(signed)
	for _, message := range []*nats.Msg{signed, {Subject: subject, Data: data}, {Subject: subject}} {
		m.store(t, author, message)
	}
}

// Repeat stores a message again that a stream holds: the same subject, headers and data. The server may refuse it.
func (m *Mesh) Repeat(t testing.TB, author, stream string, sequence uint64) {
	t.Helper()
	opened, err := m.Conn(t, mesh.UserOperator).JS.Stream(deadline(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	held, err := opened.GetMsg(deadline(t), sequence)
	if err != nil {
		t.Fatal(err)
	}
	m.store(t, author, &nats.Msg{Subject: held.Subject, Header: held.Header, Data: held.Data})
}

// store publishes a message without signing it, and waits for the stream's answer.
func (m *Mesh) store(t testing.TB, author string, message *nats.Msg) {
	t.Helper()
	if _, err := m.Conn(t, author).RequestMsgWithContext(deadline(t), message); err != nil {
		t.Fatalf("storing a message on %s: %v", message.Subject, err)
	}
}

// Unsettled returns how many messages the durables of an actor have not settled yet.
func (m *Mesh) Unsettled(t testing.TB, actor string) (n uint64) {
	t.Helper()
	for _, c := range subjects.Consumers() {
		if c.Owner != actor {
			continue
		}
		consumer, err := m.Conn(t, mesh.UserOperator).JS.Consumer(deadline(t), c.Stream, c.Durable)
		if err != nil {
			t.Fatal(err)
		}
		info := consumer.CachedInfo()
		n += info.NumPending + uint64(info.NumAckPending)
	}
	return n
}
