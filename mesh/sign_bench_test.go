package mesh_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// BenchmarkSign measures what a signature adds to a message that others read, and to one of a log, which only its author reads.
func BenchmarkSign(b *testing.B) {
	m := actortest.Start(b, actortest.Quiet())
	for name, subject := range map[string]string{"event": "weft.event.v1.workflow.x", "log": subjects.WorkflowLogSubject(0)} {
		js := m.Conn(b, "workflow").JS
		message := &nats.Msg{Subject: subject, Data: bytes.Repeat([]byte("x"), 2<<10), Header: nats.Header{}}
		b.Run("sign/"+name, func(b *testing.B) {
			for b.Loop() {
				js.Sign(message)
			}
		})
		b.Run("verify/"+name, func(b *testing.B) {
			for b.Loop() {
				if err := js.VerifyStored(message.Subject, message.Header, message.Data, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
