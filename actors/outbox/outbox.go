package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/uptrace/bun"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
)

// Message is what the outbox publishes to JetStream once the transaction that added it is committed.
type Message struct {
	// ID becomes Nats-Msg-Id and is what a consumer keeps to know the message again. Empty: a new UUIDv7. Adding an ID
	// that still waits in the outbox adds nothing.
	ID string
	// Subject must belong to a stream. No wildcards.
	Subject string
	// Key orders: messages of one key reach the stream in the order their transactions took the row they belong to,
	// whatever fails in between. Empty: the subject. Choose the entity's id: one key has one message in flight at a time.
	Key    string
	Header nats.Header
	Data   []byte
}

// OutboxConfig says how an Outbox works; only DB and Log are needed.
type Config struct {
	DB  *database.DB
	Log *zap.Logger
	// Now is time.Now unless set; it stamps rows for the lag.
	Now func() time.Time
	// Poll is how often the table is looked at without a wake-up: rows of a process that died. 2 seconds when zero.
	Poll time.Duration
	// Window is how many messages may be unacknowledged at a time, and a page of the table: 256 when zero.
	Window int
	// AckWait is how long an acknowledgement may take: 5 seconds when zero.
	AckWait time.Duration
	// MaxData is the largest message taken, header included: 1 MiB when zero, the server's own default.
	MaxData int
}

// Outbox publishes messages that were committed together with rows: at least once, never without the rows, in order per
// key. It survives NATS being away and kill -9: what JetStream has not acknowledged is in the table. A consumer must
// know messages again by their ID; JetStream's duplicate window is a help, not a promise.
//
// Any number of copies may run on one PostgreSQL: a page is published under an advisory lock of the schema, one copy
// at a time. SKIP LOCKED would share the work out, but two copies' pages interleave and order per key is lost; and the
// stream takes one message after the other anyway. If the connection that holds the lock dies, another copy publishes
// the same page again under the same ids: duplicates within JetStream's window, and first copies still in order.
type Outbox struct {
	cfg  Config
	wake chan struct{}
}

// NewOutbox prepares the outbox of cfg.DB, whose tables Migrate made. Messages can be added at once; Run publishes.
func New(cfg Config) *Outbox {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Poll == 0 {
		cfg.Poll = 2 * time.Second
	}
	if cfg.Window == 0 {
		cfg.Window = 256
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 5 * time.Second
	}
	if cfg.MaxData == 0 {
		cfg.MaxData = 1 << 20
	}
	return &Outbox{cfg: cfg, wake: make(chan struct{}, 1)}
}

// ErrNoTransaction is Outbox.Add's refusal outside DB.RunInTx.
var ErrNoTransaction = errors.New("context and transaction are not those of DB.RunInTx")

type row struct {
	bun.BaseModel `bun:"table:weft_outbox"`

	Seq       int64 `bun:",pk,autoincrement"`
	ID        string
	Subject   string
	OrderKey  string
	Header    []byte
	Data      []byte
	CreatedAt int64
}

// Add puts messages into the transaction: they are published, soon after, if and only if it commits. ctx and tx are
// those that RunInTx gave its function. To be in order with other transactions on the same entity, change the entity's
// row first: its row lock is what puts two transactions in an order at all.
//
// Errors: ErrNoTransaction; a subject or size that no stream could take; what the database says.
func (o *Outbox) Add(ctx context.Context, tx bun.Tx, messages ...Message) error {
	if !o.cfg.DB.InTx(ctx, tx) {
		return fmt.Errorf("adding to outbox: %w", ErrNoTransaction)
	}
	if len(messages) == 0 {
		return nil
	}
	rows := make([]row, 0, len(messages))
	for _, m := range messages {
		m.Header = traced(ctx, m.Header)
		row, err := o.row(m)
		if err != nil {
			return fmt.Errorf("adding %q to outbox: %w", m.Subject, err)
		}
		rows = append(rows, row)
	}
	if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("adding to outbox: %w", err)
	}
	o.cfg.DB.AfterCommit(ctx, o.poke)
	return nil
}

// traced is the header with the trace and the request id of ctx, so that what a message causes belongs to
// what caused it.
func traced(ctx context.Context, h nats.Header) nats.Header {
	header := nats.Header{}
	maps.Copy(header, h)
	mesh.Propagator.Inject(ctx, mesh.Carrier(header))
	if id := mesh.RequestID(ctx); id != "" {
		header.Set(mesh.HeaderRequestID, id)
	}
	return header
}

func (o *Outbox) row(m Message) (row, error) {
	if m.Subject == "" || strings.ContainsAny(m.Subject, "*> \t\r\n") || strings.Contains("."+m.Subject+".", "..") {
		return row{}, errors.New("not a subject to publish on")
	}
	if m.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return row{}, fmt.Errorf("making id: %w", err)
		}
		m.ID = id.String()
	}
	if m.Key == "" {
		m.Key = m.Subject
	}
	header, err := json.Marshal(m.Header)
	if err != nil {
		return row{}, fmt.Errorf("encoding header: %w", err)
	}
	if size := len(m.Data) + len(header) + len(m.ID); size > o.cfg.MaxData {
		return row{}, fmt.Errorf("%d bytes are more than the %d that a message may have", size, o.cfg.MaxData)
	}
	if m.Data == nil {
		m.Data = []byte{}
	}
	return row{
		ID: m.ID, Subject: m.Subject, OrderKey: m.Key, Header: header, Data: m.Data, CreatedAt: o.cfg.Now().UnixMilli(),
	}, nil
}

// poke wakes Run. The channel holds one token: a token put while Run is reading the table is found after it.
func (o *Outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Pending tells how many committed messages are not yet acknowledged, and the age of the oldest; for the lag gauge.
func (o *Outbox) Pending(ctx context.Context) (count int64, oldest time.Duration, err error) {
	var row struct {
		Count  int64
		Oldest int64
	}
	err = o.cfg.DB.NewSelect().TableExpr("weft_outbox").
		ColumnExpr("count(*) AS count").ColumnExpr("coalesce(min(created_at), 0) AS oldest").Scan(ctx, &row)
	if err != nil {
		return 0, 0, fmt.Errorf("counting outbox: %w", database.Classify(err))
	}
	if row.Count > 0 {
		oldest = max(0, o.cfg.Now().Sub(time.UnixMilli(row.Oldest)))
	}
	return row.Count, oldest, nil
}
