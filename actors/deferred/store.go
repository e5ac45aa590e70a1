package deferred

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
)

// Message is a message that was deferred.
type Message struct {
	// ID identifies the delivery: the same message of the same durable has the same ID.
	ID, Durable string
	// UserID is the user whom the message concerns; empty if it names none.
	UserID  string
	Subject string
	// Sequence is the message's number in its stream.
	Sequence uint64
	Header   nats.Header
	Data     []byte
	// Tries is how often its handling was started.
	Tries int
	Due   time.Time

	storedAt int64
	instance string
}

// size is what counts against the limits, in bytes.
func (m Message) size() int64 {
	size := len(m.Data)
	for key, values := range m.Header {
		for _, value := range values {
			size += len(key) + len(value)
		}
	}
	return int64(size)
}

// row is a Message in the database.
type row struct {
	bun.BaseModel `bun:"table:weft_deferred"`

	ID       string `bun:",pk"`
	Durable  string
	UserID   string
	DueAt    int64 // microseconds since the Unix epoch
	Size     int64
	Subject  string
	Sequence int64
	Header   []byte
	Data     []byte
	Tries    int
	StoredAt int64
	Instance string
	Done     bool
}

// Store has the messages that an actor's workers have deferred.
type Store struct {
	db     *database.DB
	limits Limits
	usage  *usage
	writes *writes

	mu sync.Mutex
	// unconfirmed are the messages that this process has deferred and not acknowledged.
	unconfirmed map[string]struct{}
}

// New returns the store of an actor's migrated database.
func New(db *database.DB, limits Limits) *Store {
	return &Store{db: db, limits: limits, usage: newUsage(), writes: &writes{db: db}, unconfirmed: map[string]struct{}{}}
}

// Put stores messages for which there was Room, before they are acknowledged, which Confirm must follow. It does nothing for those that are
// stored already. Messages that are not stored give their room back.
func (s *Store) Put(ctx context.Context, messages ...Message) error {
	err := s.put(ctx, messages)
	s.usage.written(messages)
	if err == nil {
		return nil
	}
	for _, m := range messages {
		s.usage.remove(m.Durable, m.UserID, m.size())
		s.Confirm(m.ID)
	}
	return fmt.Errorf("deferring messages: %w", err)
}

func (s *Store) put(ctx context.Context, messages []Message) error {
	now := time.Now().UnixMicro()
	rows := make([]row, 0, len(messages))
	s.mu.Lock()
	for _, m := range messages {
		s.unconfirmed[m.ID] = struct{}{}
	}
	s.mu.Unlock()
	for _, m := range messages {
		header, err := json.Marshal(m.Header)
		if err != nil {
			return fmt.Errorf("encoding the header of a message: %w", err)
		}
		if m.Data == nil {
			m.Data = []byte{}
		}
		rows = append(rows, row{
			ID: m.ID, Durable: m.Durable, UserID: m.UserID, DueAt: m.Due.UnixMicro(), Size: m.size(), Subject: m.Subject,
			Sequence: int64(m.Sequence), Header: header, Data: m.Data, Tries: m.Tries, StoredAt: now, Instance: s.db.Instance(),
		})
	}
	return s.writes.do(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO NOTHING").Returning("NULL").Exec(ctx)
		return err
	})
}

// Confirm says that the deliveries of messages that this process has deferred are acknowledged. Until then they may come again.
func (s *Store) Confirm(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.unconfirmed, id)
	}
}

// Has reports whether a message was deferred: its redelivery must be acknowledged and not handled.
func (s *Store) Has(ctx context.Context, id string) (bool, error) {
	found, err := s.db.NewSelect().TableExpr("weft_deferred").Where("id = ?", id).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for a message that was deferred: %w", database.Classify(err))
	}
	return found, nil
}

// Take takes up to limit messages of a user that are due, the oldest first, and counts a try of each. Until lease has passed, nobody
// takes them again.
func (s *Store) Take(ctx context.Context, durable, userID string, limit int, lease time.Duration) ([]Message, error) {
	now := time.Now()
	var rows []row
	var next *int64
	err := s.writes.do(ctx, func(ctx context.Context, tx bun.Tx) error {
		rows, next = nil, nil
		lock := ""
		if s.db.Dialect() == database.DialectPostgres {
			lock = "FOR UPDATE SKIP LOCKED"
		}
		err := tx.NewRaw(`WITH picked AS (SELECT id AS picked_id FROM weft_deferred WHERE durable = ? AND user_id = ? AND due_at <= ?
			ORDER BY due_at LIMIT ? `+lock+`)
			UPDATE weft_deferred SET due_at = ?, tries = tries + 1 FROM picked WHERE id = picked_id
			RETURNING id, durable, user_id, due_at, size, subject, sequence, header, data, tries, stored_at, instance, done`,
			durable, userID, now.UnixMicro(), limit, now.Add(lease).UnixMicro()).Scan(ctx, &rows)
		if err != nil {
			return err
		}
		var old []string
		for _, r := range rows {
			if r.Done {
				old = append(old, r.ID)
			}
		}
		if len(old) > 0 {
			if _, err := tx.NewDelete().TableExpr("weft_deferred").Where("id IN (?)", bun.List(old)).Exec(ctx); err != nil {
				return err
			}
		}
		return tx.NewSelect().TableExpr("weft_deferred").ColumnExpr("min(due_at)").
			Where("durable = ?", durable).Where("user_id = ?", userID).Scan(ctx, &next)
	})
	if err != nil {
		return nil, fmt.Errorf("taking messages that were deferred: %w", err)
	}
	s.usage.setNext(durable, userID, next)
	var messages []Message
	for _, r := range rows {
		if r.Done {
			continue
		}
		m, err := r.message()
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

func (r row) message() (Message, error) {
	m := Message{
		ID: r.ID, Durable: r.Durable, UserID: r.UserID, Subject: r.Subject, Sequence: uint64(r.Sequence), Data: r.Data,
		Tries: r.Tries, Due: time.UnixMicro(r.DueAt), storedAt: r.StoredAt, instance: r.Instance,
	}
	if err := json.Unmarshal(r.Header, &m.Header); err != nil {
		return m, fmt.Errorf("decoding the header of a message: %w", err)
	}
	return m, nil
}

// Extend prolongs the leases of messages that are being handled.
func (s *Store) Extend(ctx context.Context, lease time.Duration, ids ...string) error {
	due := time.Now().Add(lease).UnixMicro()
	err := s.writes.do(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().TableExpr("weft_deferred").Set("due_at = ?", due).Where("id IN (?)", bun.List(ids)).
			Where("due_at < ?", due).Exec(ctx) // not what was postponed meanwhile
		return err
	})
	if err != nil {
		return fmt.Errorf("prolonging leases: %w", err)
	}
	return nil
}

// unconfirmedKept is how long a handled message is remembered that the stream may deliver again: it does when NATS is reached again.
const unconfirmedKept = time.Hour

// Finish removes a message that was handled. One that was deferred, perhaps without being acknowledged, is kept without its content until the
// stream has delivered it again.
func (s *Store) Finish(ctx context.Context, m Message, ackWait time.Duration) error {
	keep := max(2*ackWait, unconfirmedKept)
	s.mu.Lock()
	_, unsure := s.unconfirmed[m.ID]
	s.mu.Unlock()
	unsure = unsure || m.instance != s.db.Instance() && time.Since(time.UnixMicro(m.storedAt)) < keep
	err := s.writes.do(ctx, func(ctx context.Context, tx bun.Tx) error {
		if unsure {
			_, err := tx.NewUpdate().TableExpr("weft_deferred").Set("done = ?", true).Set("size = 0").Set("header = ?", []byte("{}")).
				Set("data = ?", []byte{}).Set("due_at = ?", time.Now().Add(keep).UnixMicro()).Where("id = ?", m.ID).Exec(ctx)
			return err
		}
		_, err := tx.NewDelete().TableExpr("weft_deferred").Where("id = ?", m.ID).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing a message that was deferred: %w", err)
	}
	s.usage.remove(m.Durable, m.UserID, m.size())
	return nil
}

// Postpone defers a message again, with the tries that it has and until it is due.
func (s *Store) Postpone(ctx context.Context, m Message) error {
	err := s.writes.do(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().TableExpr("weft_deferred").Set("due_at = ?", m.Due.UnixMicro()).Set("tries = ?", m.Tries).
			Where("id = ?", m.ID).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("postponing a message: %w", err)
	}
	s.usage.due(m.Durable, m.UserID, m.Due.UnixMicro())
	return nil
}

// DeleteUser deletes in the transaction what was deferred for users.
func DeleteUser(ctx context.Context, tx bun.Tx, userIDs ...string) error {
	if _, err := tx.NewDelete().TableExpr("weft_deferred").Where("user_id IN (?)", bun.List(userIDs)).Exec(ctx); err != nil {
		return fmt.Errorf("deleting messages that were deferred: %w", err)
	}
	return nil
}
