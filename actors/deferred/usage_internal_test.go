package deferred

import (
	"testing"
	"time"
)

// TestRefreshMissesNothing: what is counted while the database does not have it yet, and what becomes due while the database is read, is known
// after the read.
func TestRefreshMissesNothing(t *testing.T) {
	t.Parallel()
	u := newUsage()
	key, now := userKey{"durable", "ada"}, time.Now().UnixMicro()
	u.unwritten["a"] = change{key, 1, 10, now}
	u.beginReading()
	u.change(change{key: key, due: now - 5})
	u.endReading(map[userKey]*share{{"durable", "bob"}: {count: 1, next: now}})
	if s := u.shares[key]; s == nil || s.count != 1 || s.next != now-5 {
		t.Errorf("after the read there is %+v", s)
	}
	if u.shares[userKey{"durable", "bob"}] == nil {
		t.Error("what the database has is not known")
	}
	u.written([]Message{{ID: "a"}})
	u.beginReading()
	u.endReading(map[userKey]*share{})
	if len(u.shares) != 0 {
		t.Errorf("what was handled is still known: %v", u.shares)
	}
}
