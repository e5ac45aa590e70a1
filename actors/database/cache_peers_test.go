package database_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
)

// TestCachesAreLinearizable: processes that share a PostgreSQL database, and tell each other by NATS what changes, read and write rows as if there
// were one copy of each: also a process that reads what another one has just written.
func TestCachesAreLinearizable(t *testing.T) {
	t.Parallel()
	const processes, keys = 3, 2
	for _, kind := range actortest.Databases(t) {
		if kind.Name == database.DialectSQLite {
			continue // a file has one process
		}
		m, cfg := actortest.Start(t, actortest.Quiet()), kind.Config(t, "auth")
		var history []porcupine.Operation
		var mu sync.Mutex
		var clients sync.WaitGroup
		var reads, count, values atomic.Int64
		start := time.Now()
		enough := func() bool { return values.Load() >= 200 && count.Load()-reads.Load() >= 5000 }
		for process := range processes {
			db := actortest.OpenDatabase(t, cfg)
			member, err := mesh.Join(t.Context(), m.Connect(t, "auth"), zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = member.Close(context.Background()) })
			db.SetPeers(member.Peers(db.InvalidateTables))
			if process == 0 {
				counterTable(t, db)
				for key := range keys {
					mustTx(t, db, addCounter(fmt.Sprint(key)))
				}
			}
			cache := database.NewRowCache[int64](db, "counters", 10)
			for client := range 3 {
				clients.Go(func() {
					r := rand.New(rand.NewPCG(uint64(process), uint64(client)))
					for time.Since(start) < time.Second || !enough() && time.Since(start) < actortest.Patience {
						in := actortest.Access{Register: fmt.Sprint(r.IntN(keys)), Write: client == 0 && r.IntN(4) == 0}
						o := porcupine.Operation{ClientId: 3*process + client, Call: time.Since(start).Nanoseconds()}
						if in.Write {
							value := values.Add(1)
							in.Value = fmt.Sprint(value)
							mustTx(t, db, setCounter(in.Register, value))
						} else {
							v, err := cache.Get(t.Context(), in.Register, valueOf(db, in.Register, &reads))
							if err != nil {
								t.Error(err)
								return
							}
							o.Output = fmt.Sprint(v)
							count.Add(1)
						}
						o.Input, o.Return = in, time.Since(start).Nanoseconds()
						mu.Lock()
						history = append(history, o)
						mu.Unlock()
						if client == 0 || r.IntN(20) == 0 {
							<-time.After(time.Duration(r.IntN(4000)) * time.Microsecond) // lets others have the processors
						}
					}
				})
			}
		}
		clients.Wait()
		t.Logf("%d writes, %d reads of which %d went to the database", values.Load(), count.Load(), reads.Load())
		if !enough() {
			t.Error("too few writes, or too few reads from memory, to tell anything")
		}
		if result := porcupine.CheckOperationsTimeout(actortest.Registers("0"), history, 30*time.Second); result != porcupine.Ok {
			t.Errorf("the history of %d operations is not linearizable: %s", len(history), result)
		}
	}
}
