package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestErasure tests that account deletion deletes connections, hooks and the call log, and nothing of other users.
func TestErasure(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		v := newFakeProvider(t, respond(200, `{}`))
		user, ada := b.user(t)
		other, eve := b.user(t)
		mine, hers := b.connectTo(t, v, ada, "mine"), b.connectTo(t, v, eve, "hers")
		call(t, b, subjects.ExecuteAction, ada, action(mine.ID, "get", `{"path":"/"}`))
		call(t, b, subjects.ExecuteAction, eve, action(hers.ID, "get", `{"path":"/"}`))
		hook := call(t, b, subjects.CreateHook, ada, subjects.CreateHookRequest{IntegrationID: mine.ID})
		if d, err := mesh.Call(t.Context(), b.caller, subjects.ReceiveWebhook, standardDelivery(hook, hook.Secret, "msg_1", time.Now(), `{"type":"x"}`), mesh.As{}); err != nil || d.Status != 0 {
			t.Errorf("a delivery: %+v, %v", d, err)
		}
		calls := subjects.ListCallsRequest{IntegrationRequest: subjects.IntegrationRequest{IntegrationID: mine.ID}}
		actortest.Eventually(t, "the call is logged", func() bool { return len(call(t, b, subjects.ListCalls, ada, calls).Items) == 1 })

		if answer := b.mesh.Forget(t, "integration", user); answer.Items < 3 {
			t.Errorf("erased %+v", answer)
		}
		if again := b.mesh.Forget(t, "integration", user); again.Items != 0 {
			t.Errorf("the second erasure erased %+v", again)
		}
		wantCode(t, b, subjects.CodeNotFound, subjects.ExecuteAction, ada, action(mine.ID, "get", `{"path":"/"}`))
		call(t, b, subjects.ExecuteAction, eve, action(hers.ID, "get", `{"path":"/"}`))
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		tables := actortest.Dump(t, b.db)
		if strings.Contains(tables, user) || strings.Contains(tables, mine.ID) || strings.Contains(tables, hook.ID) || !strings.Contains(tables, other) {
			t.Error("the tables contain data of the erased user, or none of the other user")
		}
	})
}
