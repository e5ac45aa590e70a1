//go:build torture

package notification_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestQueueIsLost: under load, the durable of deliveries is lost and made again, the stream is sealed for a while, and since a sealed stream stays sealed,
// it is removed with the jobs in it and made again. NATS users may delete neither, so both are taken from the server's folder. What was accepted is delivered once: the outbox keeps what cannot be published,
// and the sweeper finds the deliveries whose jobs are gone.
func TestQueueIsLost(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		var clock actortest.Clock
		f := setup(t, database, func(c *notification.Config) {
			c.Pipeline.EmailPerHour, c.Pipeline.Sweep, c.Pipeline.SweepAfter = 0, 100*time.Millisecond, time.Minute
		}, actortest.WithClock(clock.Now), actortest.Quiet())
		restore := func() {
			err := mesh.Migrate(t.Context(), f.mesh.Connect(t, mesh.UserMigrate), mesh.Target{Replicas: 1}, func(string) {}, func(mesh.Plan) {})
			if err != nil {
				t.Error(err)
			}
		}
		user := actortest.User()
		ada := f.user(t, user)
		stop, accepted := make(chan struct{}), []string{}
		var load sync.WaitGroup
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond): // some 100 a second
				}
				ref, err := mesh.Call(context.Background(), f.conn, subjects.SendNotification, subjects.SendNotificationRequest{
					Category: "system", Channels: []string{"email"}, Subject: "subject",
				}, ada)
				if err != nil { // the server is away
					continue
				}
				accepted = append(accepted, ref.NotificationID)
			}
		})
		mails := func(more int) {
			before := len(f.sink.Mails())
			actortest.Eventually(t, "mail is sent", func() bool { return len(f.sink.Mails()) >= before+more })
		}
		mails(20)
		folder := filepath.Join(f.mesh.Dir, "jetstream", "jetstream", "WEFT", "streams", subjects.NotificationJobs.Name)
		lose := func(path string) {
			f.mesh.StopServer(t)
			if _, err := os.Stat(path); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			f.mesh.RestartServer(t)
			restore()
			mails(20)
		}
		for range 3 {
			lose(filepath.Join(folder, "obs", subjects.Deliver.Consumer().Durable))
		}
		operator := f.mesh.Connect(t, mesh.UserMigrate)
		stream, err := operator.JS.Stream(t.Context(), subjects.NotificationJobs.Name)
		if err != nil {
			t.Fatal(err)
		}
		sealed := stream.CachedInfo().Config
		sealed.Sealed = true
		if _, err := operator.JS.UpdateStream(t.Context(), sealed); err != nil {
			t.Fatal(err)
		}
		sent := f.host.Metric(t, "notification_accepted_total", "system")
		actortest.Eventually(t, "more is accepted", func() bool { return f.host.Metric(t, "notification_accepted_total", "system") > sent+50 })
		lose(folder)
		close(stop)
		load.Wait()
		var count map[string]int
		actortest.Eventually(t, "all are delivered", func() bool {
			count = map[string]int{}
			for _, m := range f.sink.Mails() {
				count[m.Header.Get("Message-Id")]++
			}
			for _, id := range accepted { // there may be others, whose acceptance was not heard
				if count["<"+id+".email@example.com>"] == 0 {
					clock.Advance(time.Second)
					return false
				}
			}
			return true
		})
		for _, id := range accepted {
			if n := count["<"+id+".email@example.com>"]; n != 1 {
				t.Errorf("%s has arrived %d times", id, n)
			}
		}
		t.Logf("%d notifications, %v jobs made again", len(accepted), f.host.Metric(t, "notification_requeued_total"))
	})
}
