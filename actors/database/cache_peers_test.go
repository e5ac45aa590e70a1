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

// access is one operation on a counter: a write of value, or a read.
type access struct {
	key   int
	write bool
	value int64
}

// counterModel is a register for each key, with the initial value 0.
var counterModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[int][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(access).key //nolint:forcetypeassert // of this test
			byKey[key] = append(byKey[key], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		if in := input.(access); in.write { //nolint:forcetypeassert // of this test
			return true, in.value
		}
		return output == state, state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %v", input, output) },
}

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
					for time.Since(start) < 2*time.Second {
						o := porcupine.Operation{ClientId: 3*process + client, Input: access{key: r.IntN(keys)}, Call: time.Since(start).Nanoseconds()}
						in := o.Input.(access) //nolint:forcetypeassert // of this test
						if client == 0 && r.IntN(4) == 0 {
							in.write, in.value = true, values.Add(1)
							o.Input = in
							mustTx(t, db, setCounter(fmt.Sprint(in.key), in.value))
						} else {
							v, err := cache.Get(t.Context(), fmt.Sprint(in.key), valueOf(db, fmt.Sprint(in.key), &reads))
							if err != nil {
								t.Error(err)
								return
							}
							o.Output = v
							count.Add(1)
						}
						o.Return = time.Since(start).Nanoseconds()
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
		if values.Load() < 50 || reads.Load() > count.Load()/2 {
			t.Error("too few writes, or too few reads from memory, to tell anything")
		}
		if result := porcupine.CheckOperationsTimeout(counterModel, history, 30*time.Second); result != porcupine.Ok {
			t.Errorf("the history of %d operations is not linearizable: %s", len(history), result)
		}
	}
}
