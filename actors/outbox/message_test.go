package outbox_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/mesh"
)

// outboxRow is a row of the outbox.
type outboxRow struct {
	ID, Subject, OrderKey string
	Header, Data          []byte
	CreatedAt             int64
}

func TestStoredMessage(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
		o := outbox.New(outbox.Config{DB: db, Log: zap.NewNop(), Now: func() time.Time { return at }, Annotate: mesh.Annotate})
		traceID := trace.TraceID{1, 2, 3}
		ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: traceID, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled,
		}))
		ctx = mesh.WithRequestID(ctx, "request")
		header := nats.Header{"X": {"1"}}
		err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
			return o.Add(ctx, tx, outbox.Message{Subject: "event.a"},
				outbox.Message{ID: "id", Subject: "event.b", Key: "key", Header: header, Data: []byte("data")})
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(header) != 1 {
			t.Errorf("the message's header was changed to %v", header)
		}
		var rows []outboxRow
		if err := db.NewSelect().TableExpr("weft_outbox").Column("id", "subject", "order_key", "header", "data", "created_at").OrderExpr("seq").Scan(t.Context(), &rows); err != nil || len(rows) != 2 {
			t.Fatalf("%+v, %v", rows, err)
		}
		if id, err := uuid.Parse(rows[0].ID); err != nil || id.Version() != 7 || rows[0].OrderKey != "event.a" || len(rows[0].Data) != 0 {
			t.Errorf("the defaults are %+v, want a UUIDv7 and the subject as key", rows[0])
		}
		if r := rows[1]; r.ID != "id" || r.Subject != "event.b" || r.OrderKey != "key" || string(r.Data) != "data" {
			t.Errorf("the row is %+v", r)
		}
		for _, row := range rows {
			if row.CreatedAt != at.UnixMicro() {
				t.Errorf("created_at is %d, want %d microseconds", row.CreatedAt, at.UnixMicro())
			}
			var stored nats.Header
			if err := json.Unmarshal(row.Header, &stored); err != nil {
				t.Fatal(err)
			}
			if stored.Get(mesh.HeaderRequestID) != "request" {
				t.Errorf("the header %v has no request id", stored)
			}
			continued := trace.SpanContextFromContext(mesh.Propagator.Extract(context.Background(), mesh.Carrier(stored)))
			if continued.TraceID() != traceID {
				t.Errorf("the header %v does not continue the trace", stored)
			}
		}
		var own nats.Header
		if err := json.Unmarshal(rows[1].Header, &own); err != nil || own.Get("X") != "1" {
			t.Errorf("the header %v lacks the message's own", own)
		}
	})
}

func TestPending(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		o := outbox.New(outbox.Config{DB: db, Log: zap.NewNop(), Now: func() time.Time { return now }})
		want := func(count int64, oldest time.Duration) {
			t.Helper()
			if n, age, err := o.Pending(t.Context()); err != nil || n != count || age != oldest {
				t.Errorf("%d pending, the oldest %s, %v, want %d and %s", n, age, err, count, oldest)
			}
		}
		want(0, 0)
		for _, thing := range []string{"1", "2"} {
			if err := tell(t.Context(), db, o, thing, outbox.Message{Subject: "event.x"}); err != nil {
				t.Fatal(err)
			}
			now = now.Add(90 * time.Second)
		}
		want(2, 3*time.Minute)
		now = now.Add(-time.Hour)
		want(2, 0)
		if err := db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error { return o.Add(ctx, tx) }); err != nil {
			t.Errorf("adding nothing: %v", err)
		}
		want(2, 0)
	})
}
