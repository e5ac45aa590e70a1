package mesh_test

import (
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestOperatorUsesTheNATSCLIsChecks does what `nats server check connection` and `nats sub 'weft.event.>'` do.
func TestOperatorUsesTheNATSCLIsChecks(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	operator := m.Conn(t, mesh.UserOperator)
	inbox := operator.NewRespInbox()
	own, err := operator.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	events, err := operator.SubscribeSync("weft.event.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.Publish(inbox, []byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := own.NextMsg(5 * time.Second); err != nil {
		t.Errorf("a message to the own inbox: %v", err)
	}
	if _, err := m.Conn(t, "auth").JS.Publish(t.Context(), subjects.AccountDeleted.Subject, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := events.NextMsg(5 * time.Second); err != nil {
		t.Errorf("an event: %v", err)
	}
	for _, user := range mesh.Users() {
		subject := mesh.InboxPrefix(user) + ".y"
		check(t, mesh.UserOperator, "publish", subject, mayPublish(t, operator, subject), user == mesh.UserOperator)
	}
}
