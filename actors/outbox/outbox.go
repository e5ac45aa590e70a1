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
	"github.com/weftmesh/weft/actors/wait"
)

// Message is a message to publish to JetStream after its transaction has been committed.
type Message struct {
	// ID is sent as Nats-Msg-Id, by which consumers recognise a repeated message. It is a new UUIDv7 by default. Adding an ID
	// that is already in the outbox adds nothing.
	ID string
	// Subject must belong to a stream and contain no wildcards.
	Subject string
	// Key defines the order: messages with the same key reach the stream in the order in which their transactions locked the
	// entity's row, also after failures. It is the subject by default; the entity's id is better, because only one message of a
	// key is in flight at a time.
	Key    string
	Header nats.Header
	Data   []byte
}

// Config configures an Outbox. DB and Log are required.
type Config struct {
	DB  *database.DB
	Log *zap.Logger
	// Now is the clock, for the age of messages; time.Now by default.
	Now func() time.Time
	// Annotate, where it is not nil, adds headers to a message when it is added, such as the trace of the context.
	Annotate func(ctx context.Context, h nats.Header)
	// Sign, where it is not nil, signs a message each time before it is published.
	Sign func(m *nats.Msg)
	// Poll is the interval at which the table is read without a commit in this process, for rows of other processes;
	// 2 seconds by default.
	Poll time.Duration
	// Window bounds the unacknowledged messages and the page read from the table; 256 by default.
	Window int
	// AckWait bounds the wait for an acknowledgement; 5 seconds by default.
	AckWait time.Duration
	// MaxData bounds a message's data, header and ID together, in bytes; 1 MiB by default, as in the NATS server.
	MaxData int
}

// Outbox publishes messages that were committed together with rows: at least once, never without the rows, in order per key.
// After a loss of NATS or kill -9 it continues from its table, which holds every message that JetStream has not acknowledged.
// Consumers must recognise repeated messages by their ID: JetStream's duplicate window is limited in time.
//
// Any number of copies may run on one PostgreSQL. A page is published under an advisory lock of the schema, by one copy at a
// time. With SKIP LOCKED the pages of two copies would interleave and the order per key would be lost, and the stream stores one
// message at a time anyway. If the connection that holds the lock is lost, another copy publishes the same page again with the
// same IDs: duplicates within JetStream's window, with each first copy in order.
//
// What this process commits is published from memory, without reading the table, unless an earlier message of its key may wait elsewhere (see
// handover). Acknowledged rows are deleted together, up to a tenth of a second later.
type Outbox struct {
	cfg      Config
	wake     wait.Signal
	rows     *database.Batch[row]
	handover *handover
}

// New returns the outbox of cfg.DB, whose tables database.Migrate has created. Messages can be added at once; Run publishes them.
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
	o := &Outbox{cfg: cfg, wake: wait.NewSignal(), handover: newHandover()}
	o.rows = database.NewBatch(cfg.DB, o.insert)
	return o
}

// ErrNoTransaction means that Add was called outside DB.RunInTx.
var ErrNoTransaction = errors.New("context and transaction are not those of DB.RunInTx")

type row struct {
	bun.BaseModel `bun:"table:weft_outbox"`

	Seq       int64 `bun:",pk,autoincrement"`
	ID        string
	Subject   string
	OrderKey  string
	Header    []byte
	Data      []byte
	CreatedAt int64 // microseconds since the Unix epoch
}

// Add adds messages to the transaction: they are published if and only if it is committed. All messages of a transaction are inserted
// together at its end. ctx and tx must be the ones that RunInTx passed to its function. Change the entity's row before, if messages
// about an entity must be in order: its row lock is what orders transactions.
//
// Errors: ErrNoTransaction, an invalid subject, or a message that is too large.
func (o *Outbox) Add(ctx context.Context, tx bun.Tx, messages ...Message) error {
	if !o.cfg.DB.InTx(ctx, tx) {
		return fmt.Errorf("adding to outbox: %w", ErrNoTransaction)
	}
	if len(messages) == 0 {
		return nil
	}
	rows := make([]row, 0, len(messages))
	for _, m := range messages {
		m.Header = o.header(ctx, m.Header)
		row, err := o.row(m)
		if err != nil {
			return fmt.Errorf("adding %q to outbox: %w", m.Subject, err)
		}
		rows = append(rows, row)
	}
	o.rows.Add(ctx, rows...)
	return nil
}

// header returns a copy of h with the headers that Config.Annotate adds.
func (o *Outbox) header(ctx context.Context, h nats.Header) nats.Header {
	header := nats.Header{}
	maps.Copy(header, h)
	if o.cfg.Annotate != nil {
		o.cfg.Annotate(ctx, header)
	}
	return header
}

func (o *Outbox) row(m Message) (row, error) {
	if m.Subject == "" || strings.ContainsAny(m.Subject, "*> \t\r\n") || strings.Contains("."+m.Subject+".", "..") {
		return row{}, errors.New("invalid subject")
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
		return row{}, fmt.Errorf("message of %d bytes, the limit is %d", size, o.cfg.MaxData)
	}
	if m.Data == nil {
		m.Data = []byte{}
	}
	return row{
		ID: m.ID, Subject: m.Subject, OrderKey: m.Key, Header: header, Data: m.Data, CreatedAt: o.cfg.Now().UnixMicro(),
	}, nil
}

// Pending returns the number of committed messages that are not yet acknowledged, and the age of the oldest.
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
		oldest = max(0, o.cfg.Now().Sub(time.UnixMicro(row.Oldest)))
	}
	return row.Count, oldest, nil
}
