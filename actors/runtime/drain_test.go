package runtime_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// A request, a message and a background task that ignore their context do not keep the actor from ending. The log names them, and the
// message is delivered again.
func TestHangingWorkDoesNotKeepTheActor(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	release, hanging := make(chan struct{}), make(chan string, 3)
	t.Cleanup(func() { close(release) })
	hang := func(what string) { hanging <- what; <-release }
	service := actors.Service{
		Name:    "notification",
		Workers: []actors.Worker{actors.Work(subjects.Deliver, func(context.Context, delivery) error { hang("message"); return nil })},
		Bindings: []actors.Binding{actors.Bind(subjects.ListNotifications,
			func(context.Context, subjects.ListNotificationsRequest) (subjects.NotificationPage, error) {
				hang("request")
				return subjects.NotificationPage{}, nil
			})},
		Background: map[string]func(context.Context) error{"sweep": func(context.Context) error { hang("task"); return nil }},
	}
	core, logs := observer.New(zap.WarnLevel)
	hosted := m.Host(t, service.Name, database.Config{Actor: service.Name, DataDir: t.TempDir()}, nil,
		func(actors.Deps) (actors.Service, error) { return service, nil },
		func(c *runtime.HostConfig) {
			c.Telemetry.Log = zap.New(core)
			c.Drain = func() time.Duration { return 300 * time.Millisecond }
		})
	sendDeliveries(t, m, "user", 1)
	go func() {
		_, _ = mesh.Call(context.Background(), m.Conn(t, mesh.UserGateway), subjects.ListNotifications, subjects.ListNotificationsRequest{},
			mesh.As{Token: m.Token(t, actortest.User())})
	}()
	for range 3 {
		receive(t, hanging)
	}
	start := time.Now()
	if err := hosted.Stop(t); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	var left []string
	for _, entry := range logs.FilterMessageSnippet("stopping while work is still running").All() {
		for _, name := range entry.ContextMap()["work"].([]any) {
			left = append(left, name.(string))
		}
	}
	if got := strings.Join(left, ", "); got != "deliver (1), list_notifications (1), sweep" {
		t.Errorf("the log says that %q was left", got)
	}
	if unsettled(t, m) != 1 {
		t.Error("the message that was being handled is lost")
	}
}
