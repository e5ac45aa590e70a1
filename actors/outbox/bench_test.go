package outbox_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/outbox"
)

// BenchmarkCommit measures durable changes by 64 concurrent callers: a row, a row under an idempotency key, a row with its
// message; and a read for comparison.
func BenchmarkCommit(b *testing.B) {
	for _, kind := range actortest.Databases(b) {
		db := kind.Open(b, "auth", actortest.Things)
		nc := connect(b, startNATS(b, b.TempDir(), -1))
		makeStream(b, nc, "event.>")
		o := outbox.New(outbox.Config{DB: db, Log: zap.NewNop()})
		answers := idempotency.New(idempotency.Config{DB: db, Sealer: actortest.Sealer(b), Log: zap.NewNop()})
		var serial atomic.Int64
		next := func() string { return strconv.FormatInt(serial.Add(1), 36) }
		for _, bench := range []struct {
			name string
			do   func(ctx context.Context) error
		}{
			{"row", func(ctx context.Context) error {
				return db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, next()) })
			}},
			{"keyed row", func(ctx context.Context) error {
				name := next()
				_, _, err := answers.Do(ctx, idempotency.Key{Endpoint: "weft.v1.test.make", Caller: "user 1", Key: name}, nil, nil,
					func(ctx context.Context) (idempotency.Answer, error) {
						err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error { return actortest.AddThing(ctx, tx, name) })
						return idempotency.Answer{Body: []byte(`{}`)}, err
					})
				return err
			}},
			{"read", func(ctx context.Context) error {
				var n int
				return db.NewSelect().TableExpr("things").Column("n").Where("id = '1'").Scan(ctx, &n)
			}},
			{"row and message", func(ctx context.Context) error {
				return tell(ctx, db, o, next(), outbox.Message{Subject: "event.x", Key: next()})
			}},
		} {
			b.Run(kind.Name+"/"+bench.name, func(b *testing.B) {
				if bench.name == "row and message" {
					defer relay(b, o, nc)()
				}
				b.SetParallelism(32)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := bench.do(b.Context()); err != nil {
							b.Error(err)
						}
					}
				})
				if bench.name == "row and message" {
					drained(b, o)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			})
		}
	}
}
