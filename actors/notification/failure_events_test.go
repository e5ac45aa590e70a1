package notification_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// failed publishes that executions of a user's workflow have failed at some times, with errors of a type.
func (f *fixture) failed(t *testing.T, userID, workflow, errorType string, times ...time.Time) []string {
	t.Helper()
	ids := make([]string, len(times))
	var failures subjects.ExecutionFailures
	for i, at := range times {
		ids[i] = actortest.User()
		failures.Executions = append(failures.Executions, subjects.ExecutionFailure{
			ExecutionID: ids[i], WorkflowID: workflow, Version: 1, Name: "orders & more", Origin: "schedule:" + workflow, ErrorType: errorType, EndedAt: at,
		})
	}
	f.publish(t, "workflow", subjects.ExecutionsFailed.Subject, subjects.ExecutionsFailed.New(ids[0], userID, times[0], failures))
	return ids
}

// workflowInbox returns the notifications of the category workflow in an inbox.
func (f *fixture) workflowInbox(t *testing.T, as mesh.As) []subjects.Notification {
	t.Helper()
	return call(t, f, subjects.ListNotifications, as, subjects.ListNotificationsRequest{Category: "workflow"}).Items
}

// batched is how many deliveries were collected.
func (f *fixture) batched(t *testing.T) int {
	t.Helper()
	return int(f.host.Metric(t, "notification_decisions_total", "in_app", "batch") + f.host.Metric(t, "notification_decisions_total", "email", "batch"))
}

// TestFailedExecutions: executions that fail unattended are one message for each workflow once ten minutes have passed without another, of which
// each minute has one item; in-app and by mail, with the error's type and a link.
func TestFailedExecutions(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, func(c *notification.Config) { c.ExecutionURL = "https://app.example.com/runs/{execution_id}?tab=1" }, actortest.WithClock(clock.Now))
		user, other := actortest.User(), actortest.User()
		ada, eve := f.user(t, user), f.user(t, other)
		start := clock.Now().Truncate(time.Minute)
		first := f.failed(t, user, "w1", "https://serverlessworkflow.io/spec/1.0.0/errors/communication", start, start.Add(time.Second), start.Add(59*time.Second))
		actortest.Eventually(t, "the first minute is collected", func() bool { return f.batched(t) == 2 })
		f.failed(t, user, "w1", "https://acme.example/errors/stock", start.Add(2*time.Second), start.Add(time.Minute))
		single := f.failed(t, other, "w2", "https://acme.example/errors/stock", start)
		actortest.Eventually(t, "all are collected", func() bool { return f.batched(t) == 6 })
		if n := len(f.workflowInbox(t, ada)) + len(f.sink.Mails()); n != 0 {
			t.Errorf("%d messages before the window has passed", n)
		}
		clock.Advance(10*time.Minute + time.Second)
		ada, eve = f.user(t, user), f.user(t, other)
		actortest.Eventually(t, "the messages arrive", func() bool {
			return len(f.sink.Mails()) == 2 && len(f.workflowInbox(t, ada)) == 1 && len(f.workflowInbox(t, eve)) == 1
		})
		n := f.workflowInbox(t, ada)[0]
		if n.Subject != "2 new notifications" || !strings.Contains(n.Body, "communication") || !strings.Contains(n.Body, "https://acme.example/errors/stock") ||
			!strings.Contains(n.Body, first[0]) || strings.Contains(n.Body, first[1]) {
			t.Errorf("notification: %q %q", n.Subject, n.Body)
		}
		n = f.workflowInbox(t, eve)[0]
		if n.Subject != "Your workflow orders & more failed" || !strings.Contains(n.Body, "https://app.example.com/runs/"+single[0]+"?tab=1") {
			t.Errorf("notification: %q %q", n.Subject, n.Body)
		}
		for _, m := range f.sink.Mails() {
			text, err := m.Text()
			if err != nil || !strings.HasPrefix(m.Header.Get("Content-Type"), "multipart/alternative") {
				t.Errorf("mail: %v, %v", m.Header, err)
			}
			if m.To[0] == other+"@example.com" && (m.Header.Get("Subject") != "Your workflow orders & more failed" || !strings.Contains(strings.ReplaceAll(m.Body, "=\r\n", ""), "orders &amp; more") || !strings.Contains(text, single[0])) {
				t.Errorf("mail: %s %s", m.Header.Get("Subject"), m.Body)
			}
		}
		// A repetition adds nothing.
		f.failed(t, other, "w2", "x", start)
		f.failed(t, other, "w2", "x", start.Add(time.Hour))
		actortest.Eventually(t, "the next begins another batch", func() bool { return f.batched(t) == 8 })
	})
}

// TestFailedExecutionsObeySettings: who has switched the category off is not told, and failures leave room for other notifications that wait.
func TestFailedExecutionsObeySettings(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		f := setup(t, database, func(c *notification.Config) { c.Pipeline.MaxWaitingPerUser = 8 })
		user, busy := actortest.User(), actortest.User()
		ada, eve := f.user(t, user), f.user(t, busy)
		f.settings(t, ada, subjects.NotificationSettings{Categories: subjects.CategoryPreferences{Workflow: &subjects.ChannelPreferences{
			Email: &subjects.ChannelPreference{Mode: "off"},
		}}})
		now := time.Now()
		f.failed(t, user, "w1", "x", now)
		actortest.Eventually(t, "in-app is collected", func() bool { return f.batched(t) == 1 })
		for n := range 10 {
			f.failed(t, busy, fmt.Sprint("w", n), "x", now)
			actortest.Eventually(t, "it is collected", func() bool { return f.batched(t) == 1+min(2*(n+1), 4) })
		}
		actortest.Eventually(t, "all events are handled", func() bool { return f.host.Metric(t, "notification_failures_left_out_total") == 8 })
		f.item(t, eve, "another", subjects.NotificationBatch{Key: "other", Window: 60}, "email")
		if mails := f.sink.Mails(); len(mails) != 0 {
			t.Errorf("%d mails", len(mails))
		}
	})
}

func TestExecutionURL(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"": true, "https://app.example/{execution_id}": true, "http://127.0.0.1:3000/#/runs/{execution_id}": true, "https://app.example/": false,
		"javascript:{execution_id}": false, "https://u:p@app.example/{execution_id}": false, "/{execution_id}": false,
	} {
		c := notification.DefaultConfig()
		c.ExecutionURL = url
		if err := c.Check(); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}
