package deferred

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/database"
)

// Limits bound what the workers of one actor deferred. The counts of other processes are known within a second.
type Limits struct {
	// User bounds what is deferred for one user, Total what is deferred in all.
	User, Total Limit
	// Reserved is how many messages a user may have deferred where others have used up Total.
	Reserved int64
}

// Limit bounds messages.
type Limit struct {
	Messages int64
	// Bytes of headers and data.
	Bytes int64
}

// DefaultLimits are those of every actor.
func DefaultLimits() Limits {
	return Limits{User: Limit{10_000, 64 << 20}, Total: Limit{100_000, 512 << 20}, Reserved: 100}
}

func (l Limit) exceeded(count, bytes int64) bool { return count > l.Messages || bytes > l.Bytes }

// share is what is deferred for one user of one durable.
type share struct {
	count, bytes int64
	next         int64 // when the next message is due
}

// userKey identifies the messages of a user for one durable.
type userKey struct{ durable, userID string }

// usage knows what is deferred: it counts what this process does, and refresh reads what others have done.
type usage struct {
	mu     sync.Mutex
	shares map[userKey]*share
	at     time.Time
	// during are the changes that refresh may miss: those made while it reads, and those of unwritten, by id of the message, when it
	// began: they are counted and not in the database yet.
	reading   bool
	during    []change
	unwritten map[string]change
}

// change is a message that is deferred, or one that is due again if count is 0.
type change struct {
	key               userKey
	count, bytes, due int64
}

func newUsage() *usage { return &usage{shares: map[userKey]*share{}, unwritten: map[string]change{}} }

// change makes a change, and again after a refresh that may have missed it.
func (u *usage) change(c change) {
	if u.reading {
		u.during = append(u.during, c)
	}
	u.apply(c)
}

func (u *usage) apply(c change) {
	s := u.shares[c.key]
	if s == nil {
		if c.count == 0 {
			return
		}
		s = &share{next: math.MaxInt64}
		u.shares[c.key] = s
	}
	s.count, s.bytes, s.next = s.count+c.count, s.bytes+c.bytes, min(s.next, c.due)
}

// written says that the database has messages for which Room was, or will not have them.
func (u *usage) written(messages []Message) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range messages {
		delete(u.unwritten, m.ID)
	}
}

func (u *usage) remove(durable, userID string, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := userKey{durable, userID}
	if s := u.shares[key]; s != nil {
		s.count, s.bytes = s.count-1, s.bytes-bytes
		if s.count <= 0 {
			delete(u.shares, key)
		}
	}
}

// due lowers the time at which a user's next message is due.
func (u *usage) due(durable, userID string, at int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.change(change{key: userKey{durable, userID}, due: at})
}

func (u *usage) setNext(durable, userID string, at *int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.shares[userKey{durable, userID}]
	switch {
	case s == nil:
	case at == nil:
		s.next = math.MaxInt64
	default:
		s.next = *at
	}
}

// Room counts a message that is to be deferred, by Put. Its refusal says why there is no room for it; empty if there is. What concerns no user is
// bounded in all only.
func (s *Store) Room(m Message) (refusal string) {
	u, userID, size := s.usage, m.UserID, m.size()
	u.mu.Lock()
	defer u.mu.Unlock()
	own, all := share{count: 1, bytes: size}, share{count: 1, bytes: size}
	for key, one := range u.shares {
		all.count, all.bytes = all.count+one.count, all.bytes+one.bytes
		if key.userID == userID {
			own.count, own.bytes = own.count+one.count, own.bytes+one.bytes
		}
	}
	switch {
	case userID != "" && s.limits.User.exceeded(own.count, own.bytes):
		return fmt.Sprintf("%d messages with %d bytes of this user wait already, the limits are %d and %d",
			own.count-1, own.bytes-size, s.limits.User.Messages, s.limits.User.Bytes)
	case s.limits.Total.exceeded(all.count, all.bytes) && own.count > s.limits.Reserved:
		return fmt.Sprintf("%d messages with %d bytes wait already, the limits are %d and %d",
			all.count-1, all.bytes-size, s.limits.Total.Messages, s.limits.Total.Bytes)
	}
	c := change{userKey{m.Durable, userID}, 1, size, m.Due.UnixMicro()}
	u.unwritten[m.ID] = c
	u.change(c)
	return ""
}

// Count returns the number of messages that are deferred, as this process knows it.
func (s *Store) Count() (count int64) {
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	for _, one := range s.usage.shares {
		count += one.count
	}
	return count
}

// Due returns the users of a durable who have a message that is due, in a fixed order, and when the next one of any user will be.
func (s *Store) Due(durable string) (users []string, next time.Time) {
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	now, first := time.Now().UnixMicro(), int64(math.MaxInt64)
	for key, one := range s.usage.shares {
		switch {
		case key.durable != durable:
		case one.next <= now:
			users = append(users, key.userID)
		default:
			first = min(first, one.next)
		}
	}
	slices.Sort(users)
	return users, time.UnixMicro(first)
}

// Refresh reads from the database what is deferred, if that was last done more than age ago.
func (s *Store) Refresh(ctx context.Context, age time.Duration) error {
	u := s.usage
	u.mu.Lock()
	if u.reading || time.Since(u.at) < age {
		u.mu.Unlock()
		return nil
	}
	u.beginReading()
	u.mu.Unlock()
	var rows []struct {
		Durable, UserID      string
		Count, Bytes, NextAt int64
	}
	err := s.db.NewSelect().TableExpr("weft_deferred").Column("durable", "user_id").ColumnExpr("count(*) FILTER (WHERE NOT done) AS count").
		ColumnExpr("CAST(sum(size) AS BIGINT) AS bytes").ColumnExpr("min(due_at) AS next_at").Group("durable", "user_id").Scan(ctx, &rows)
	shares := make(map[userKey]*share, len(rows))
	for _, r := range rows {
		shares[userKey{r.Durable, r.UserID}] = &share{count: r.Count, bytes: r.Bytes, next: r.NextAt}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.reading, u.during = false, nil
		return fmt.Errorf("reading what was deferred: %w", database.Classify(err))
	}
	u.endReading(shares)
	return nil
}

// beginReading and endReading enclose a read of the database; shares are what it has found.
func (u *usage) beginReading() {
	u.reading, u.at, u.during = true, time.Now(), slices.Collect(maps.Values(u.unwritten))
}

func (u *usage) endReading(shares map[userKey]*share) {
	u.shares = shares
	for _, c := range u.during {
		u.apply(c)
	}
	u.reading, u.during = false, nil
}
