//go:build torture

package backup_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/cmd/weft/backup"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestRestoreIntoACluster restores an archive of one server into three, with three copies of each stream.
func TestRestoreIntoACluster(t *testing.T) {
	t.Parallel()
	i := install(t)
	consumed := consume(t, i.mesh)
	a := open(t, i.create(t))
	c := actortest.StartCluster(t, 3)
	conn := c.Connect(t, mesh.UserMigrate)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := mesh.AwaitJetStream(ctx, conn, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if err := a.RestoreStreams(ctx, conn, 3, func(string) {}); err != nil {
		t.Fatal(err)
	}
	stream, err := conn.JS.Stream(ctx, subjects.Events.Name)
	if err != nil {
		t.Fatal(err)
	}
	if info := stream.CachedInfo(); info.Config.Replicas != 3 || info.State.LastSeq != 5 {
		t.Errorf("the stream has %d replicas and %+v", info.Config.Replicas, info.State)
	}
	durable, err := stream.Consumer(ctx, consumed.Durable)
	if err != nil {
		t.Fatal(err)
	}
	if info := durable.CachedInfo(); info.AckFloor.Stream != 3 {
		t.Errorf("the durable has %+v", info)
	}
	if err := a.RestoreStreams(ctx, conn, 3, func(string) {}); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("a second restore: %v", err)
	}
	if err := mesh.Migrate(ctx, conn, mesh.Target{Replicas: 3}, func(string) {}, func(mesh.Plan) {}); err != nil {
		t.Errorf("migrating: %v", err)
	}
}
