package workflow_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestForgedLogEntriesAreNotReplayed: what others had the server put into the logs starts nothing, hides nothing and stops no partition, also
// after a restart; an entry that is repeated is not carried out again.
func TestForgedLogEntriesAreNotReplayed(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		workflow := b.create(t, "- rest: {wait: {days: 30}}\n")
		genuine := b.startExecution(t, workflow, `{}`)
		b.awaitStatus(t, genuine, subjects.ExecutionWaiting)
		forged := forgedStart(t, b, genuine)
		plant := func() {
			for partition := range subjects.WorkflowPartitions {
				subject := subjects.WorkflowLogSubject(partition)
				b.mesh.Forge(t, "notification", "workflow", subject, forged)
				b.mesh.Forge(t, "notification", "workflow", subject, []byte(`{"owner":"`))
			}
		}
		plant()
		second := b.startExecution(t, workflow, `{}`)
		b.awaitStatus(t, second, subjects.ExecutionWaiting)
		plant()
		began := time.Now()
		if err := b.host.Stop(t); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the actor took %s to stop", took)
		}
		b.host = b.start(t)
		third := b.startExecution(t, workflow, `{}`)
		b.awaitStatus(t, third, subjects.ExecutionWaiting)
		for _, id := range []string{genuine, second} {
			b.awaitStatus(t, id, subjects.ExecutionWaiting)
		}
		if counts := b.statuses(t, workflow); counts[subjects.ExecutionWaiting] != 3 || len(counts) != 1 {
			t.Errorf("executions %v", counts)
		}
	})
}

// forgedStart returns the entry of a log that started an execution, changed to start another one.
func forgedStart(t *testing.T, b *bundle, id string) []byte {
	t.Helper()
	for _, entry := range b.mesh.Messages(t, subjects.WorkflowLog.Name, subjects.WorkflowLog.Subjects[0]) {
		if bytes.Contains(entry, []byte(id)) && bytes.Contains(entry, []byte(`"start"`)) {
			forged := []byte(id)
			forged[len(forged)-1] ^= 1
			return bytes.ReplaceAll(entry, []byte(id), forged)
		}
	}
	t.Fatal("no entry of the log starts the execution")
	return nil
}

// TestForgedEventsDoNothing: a webhook that integration did not receive starts no workflow, and a deletion that auth did not decide erases
// nothing. Neither becomes a dead letter.
func TestForgedEventsDoNothing(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, _ := c.createScheduled(t, scheduled("on: {one: {with: {type: github.issues.opened}}}", "", "- say: {set: {x: 1}}\n"))
		delivery := func(n string) []byte {
			data, err := json.Marshal(subjects.NewWebhookReceived(n, c.user, time.Now(), subjects.WebhookDelivery{
				IntegrationID: "a", HookID: "b", Provider: "github", Event: "issues.opened", DeliveryID: n, Payload: json.RawMessage(`{}`),
			}))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		deleted, err := json.Marshal(subjects.AccountDeleted.New("e", c.user, time.Now(), subjects.AccountDeletion{
			ErasureID: "e", UserID: c.user, Round: 1,
		}))
		if err != nil {
			t.Fatal(err)
		}
		for _, attacker := range []string{"notification", mesh.UserOperator, mesh.UserGateway} {
			c.mesh.Forge(t, attacker, "integration", subjects.WebhookReceived.Subject, delivery(attacker))
			c.mesh.Forge(t, attacker, "auth", subjects.AccountDeleted.Subject, deleted)
		}
		ack, err := c.mesh.Conn(t, "integration").JS.Publish(t.Context(), subjects.WebhookReceived.Subject, delivery("genuine"))
		if err != nil {
			t.Fatal(err)
		}
		c.mesh.Repeat(t, "integration", subjects.Events.Name, ack.Sequence)
		eventually(t, "the genuine webhook has started its execution", func() bool { return len(c.listExecutions(t, id)) > 0 })
		eventually(t, "all events are settled", func() bool { return c.mesh.Unsettled(t, "workflow") == 0 })
		if all := c.listExecutions(t, id); len(all) != 1 {
			t.Errorf("%d executions were started, want one", len(all))
		}
		if dead := c.mesh.Messages(t, subjects.Dead.Name, subjects.Dead.Subjects[0]); len(dead) > 0 {
			t.Errorf("dead letters: %s", dead)
		}
	})
}
