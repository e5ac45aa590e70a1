package runtime_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// soon is how soon a failure, and its end, must be seen.
const soon = 5 * time.Second

// awaitCheck waits until a check of an actor has a result.
func awaitCheck(t *testing.T, m *actortest.Mesh, actor, name, want string) {
	t.Helper()
	var health subjects.Health
	start := time.Now()
	actortest.Eventually(t, actor+": "+name+" is "+want, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		h, err := mesh.Call(ctx, m.Conn(t, mesh.UserGateway), subjects.HealthChecks[actor], subjects.Empty{}, mesh.As{})
		health = h
		return err == nil && strings.HasPrefix(health.Checks[name], want)
	})
	if took := time.Since(start); took > soon {
		t.Errorf("%s was %s after %s", name, want, took)
	}
	if degraded := want != "ok"; degraded != (health.Status == "degraded") {
		t.Errorf("the health is %+v", health)
	}
}

func hostNotification(t *testing.T, m *actortest.Mesh, c database.Config) *database.DB {
	t.Helper()
	var db *database.DB
	worker := actors.Work(subjects.Deliver, func(context.Context, delivery) error { return nil })
	m.Host(t, "notification", c, nil, func(d actors.Deps) (actors.Service, error) {
		db = d.DB
		return actors.Service{Name: "notification", Workers: []actors.Worker{worker}}, nil
	})
	awaitCheck(t, m, "notification", "database", "ok")
	return db
}

// A full disk is a file that may not grow.
func TestReadinessNeedsRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	db := hostNotification(t, m, database.Config{Actor: "notification", DataDir: t.TempDir()})
	pages := func(limit string) {
		t.Helper()
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "PRAGMA max_page_count = "+limit)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pages("1") // what it has
	var err error
	for range 100 { // what is free in the file
		err = db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO weft_outbox (id, subject, order_key, header, data, created_at) VALUES (?, 'refused', 'k', '{}', zeroblob(4000), 0)", uuid.NewString())
			return err
		})
		if err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("the file grows")
	}
	awaitCheck(t, m, "notification", "database", "unavailable")
	pages("1000000")
	awaitCheck(t, m, "notification", "database", "ok")
}

// A server whose disk is full answers reads and refuses what would grow a table.
func TestReadinessNeedsRoomOnTheServer(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		m := actortest.Start(t, actortest.Quiet())
		db := hostNotification(t, m, kind.Config(t, "notification"))
		exec := func(statement string) {
			t.Helper()
			err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, statement)
				return err
			})
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100''; END'`)
		exec("CREATE TRIGGER full_disk BEFORE INSERT ON weft_heartbeat EXECUTE FUNCTION refuse()")
		awaitCheck(t, m, "notification", "database", "unavailable")
		exec("DROP TRIGGER full_disk ON weft_heartbeat")
		awaitCheck(t, m, "notification", "database", "ok")
	})
}

func TestReadinessNeedsTheDurable(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t, actortest.Quiet())
	hostNotification(t, m, database.Config{Actor: "notification", DataDir: t.TempDir()})
	awaitCheck(t, m, "notification", "durable deliver", "ok")
	m.StopServer(t)
	found, err := filepath.Glob(filepath.Join(m.Dir, "jetstream", "jetstream", "*", "streams", subjects.NotificationJobs.Name, "obs", "deliver"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the durable's folder is %v, %v", found, err)
	}
	if err := os.RemoveAll(found[0]); err != nil {
		t.Fatal(err)
	}
	m.RestartServer(t)
	awaitCheck(t, m, "notification", "nats", "ok")
	awaitCheck(t, m, "notification", "durable deliver", "unavailable")
	if err := mesh.Setup(t.Context(), m.Conn(t, mesh.UserMigrate).JS, 1); err != nil {
		t.Fatal(err)
	}
	awaitCheck(t, m, "notification", "durable deliver", "ok")
	sendDeliveries(t, m, "user", 1)
	actortest.Eventually(t, "messages are handled again", func() bool { return unsettled(t, m) == 0 })
}
