package deferred_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/deferred"
)

const lease = time.Minute

func message(id, userID string) deferred.Message {
	return deferred.Message{
		ID: id, Durable: "d", UserID: userID, Subject: "s", Sequence: 7, Header: nats.Header{"traceparent": {"t"}}, Data: []byte("data"),
		Tries: 1, Due: time.Now().Add(-time.Second),
	}
}

func put(t *testing.T, s *deferred.Store, messages ...deferred.Message) {
	t.Helper()
	for _, m := range messages {
		if refusal := s.Room(m); refusal != "" {
			t.Fatalf("no room for %s: %s", m.ID, refusal)
		}
	}
	if err := s.Put(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, s *deferred.Store, userID string, limit int) []deferred.Message {
	t.Helper()
	messages, err := s.Take(t.Context(), "d", userID, limit, lease)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func TestMessagesAreTakenOnceTheyAreDue(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		s := deferred.New(kind.Open(t, "auth"), deferred.DefaultLimits())
		later := message("later", "ada")
		later.Due = time.Now().Add(time.Hour)
		old := message("old", "ada")
		old.Due = old.Due.Add(-time.Minute)
		put(t, s, message("new", "ada"), later, old, message("other", "bob"))
		put(t, s, message("new", "ada")) // again
		if users, next := s.Due("d"); fmt.Sprint(users) != "[ada bob]" || time.Until(next) < 0 {
			t.Errorf("due are %v, then %s", users, next)
		}
		got := take(t, s, "ada", 1)
		if len(got) != 1 || got[0].ID != "old" || got[0].Tries != 2 || got[0].Sequence != 7 || string(got[0].Data) != "data" || got[0].Header.Get("traceparent") != "t" {
			t.Fatalf("took %+v", got)
		}
		rest := take(t, s, "ada", 10)
		if len(rest) != 1 || rest[0].ID != "new" || len(take(t, s, "ada", 10)) != 0 {
			t.Fatalf("took %+v", rest)
		}
		if err := s.Finish(t.Context(), got[0], lease); err != nil {
			t.Fatal(err)
		}
		rest[0].Due = time.Now().Add(-time.Second)
		if err := s.Postpone(t.Context(), rest[0]); err != nil {
			t.Fatal(err)
		}
		if again := take(t, s, "ada", 10); len(again) != 1 || again[0].Tries != 3 {
			t.Errorf("took %+v", again)
		}
	})
}

// A message that was handled before its delivery was acknowledged is recognised when it is delivered again.
func TestUnconfirmedMessagesAreRemembered(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		s := deferred.New(kind.Open(t, "auth"), deferred.DefaultLimits())
		put(t, s, message("confirmed", "ada"), message("unconfirmed", "ada"))
		s.Confirm("confirmed")
		for _, m := range take(t, s, "ada", 2) {
			if err := s.Finish(t.Context(), m, lease); err != nil {
				t.Fatal(err)
			}
		}
		for id, want := range map[string]bool{"confirmed": false, "unconfirmed": true} {
			if got, err := s.Has(t.Context(), id); err != nil || got != want {
				t.Errorf("%s is known: %t, %v", id, got, err)
			}
		}
		if got := take(t, s, "ada", 2); len(got) != 0 {
			t.Errorf("took %+v, which was handled", got)
		}
	})
}

func TestNoMessageIsTakenTwice(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		config := kind.Config(t, "auth")
		one := deferred.New(actortest.OpenDatabase(t, config), deferred.DefaultLimits())
		two := deferred.New(actortest.OpenDatabase(t, config), deferred.DefaultLimits())
		const count = 100
		for i := range count {
			put(t, one, message(fmt.Sprint(i), "ada"))
		}
		var mu sync.Mutex
		taken := map[string]int{}
		var all sync.WaitGroup
		for _, s := range []*deferred.Store{one, two} {
			all.Go(func() {
				for {
					messages, err := s.Take(t.Context(), "d", "ada", 3, lease)
					if err != nil || len(messages) == 0 {
						return
					}
					mu.Lock()
					for _, m := range messages {
						taken[m.ID]++
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for id, times := range taken {
			if times != 1 {
				t.Errorf("%s was taken %d times", id, times)
			}
		}
		if len(taken) != count {
			t.Errorf("%d of %d were taken", len(taken), count)
		}
		if err := two.Refresh(t.Context(), 0); err != nil || two.Count() != count {
			t.Errorf("the other process counts %d, %v", two.Count(), err)
		}
	})
}

func TestWhatIsPutAsideIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits deferred.Limits
		fits   []string // users
		refuse string
		says   string
	}{
		"messages of a user": {deferred.Limits{User: deferred.Limit{Messages: 2, Bytes: 1 << 20}, Total: deferred.Limit{Messages: 9, Bytes: 1 << 20}}, []string{"ada", "ada", "bob"}, "ada", "of this user"},
		"bytes of a user":    {deferred.Limits{User: deferred.Limit{Messages: 9, Bytes: 40}, Total: deferred.Limit{Messages: 9, Bytes: 1 << 20}}, []string{"ada", "ada", "bob"}, "ada", "of this user"},
		"messages in all":    {deferred.Limits{User: deferred.Limit{Messages: 9, Bytes: 1 << 20}, Total: deferred.Limit{Messages: 3, Bytes: 1 << 20}, Reserved: 1}, []string{"ada", "ada", "ada", "bob"}, "ada", "wait already"},
		"without a user":     {deferred.Limits{User: deferred.Limit{Messages: 1, Bytes: 1 << 20}, Total: deferred.Limit{Messages: 3, Bytes: 1 << 20}}, []string{"", "", ""}, "", "wait already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := deferred.New(actortest.OpenDatabase(t, database.Config{Actor: "auth", DataDir: t.TempDir()}), c.limits)
			for i, user := range c.fits {
				put(t, s, message(fmt.Sprint(i), user))
			}
			if refusal := s.Room(message("surplus", c.refuse)); !strings.Contains(refusal, c.says) {
				t.Errorf("the refusal is %q", refusal)
			}
			messages := take(t, s, c.refuse, 1)
			s.Confirm(messages[0].ID)
			if err := s.Finish(t.Context(), messages[0], lease); err != nil {
				t.Fatal(err)
			}
			if refusal := s.Room(message("surplus", c.refuse)); c.limits.Reserved == 0 && refusal != "" {
				t.Errorf("after one was handled: %s", refusal)
			}
		})
	}
}

func TestAUsersMessagesAreDeleted(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth")
		s := deferred.New(db, deferred.DefaultLimits())
		put(t, s, message("1", "ada"), message("2", "alias"), message("3", "bob"))
		err := db.RunInTx(t.Context(), func(ctx context.Context, tx database.Tx) error { return deferred.DeleteUser(ctx, tx, "ada", "alias") })
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]bool{"1": false, "2": false, "3": true} {
			if got, err := s.Has(t.Context(), id); err != nil || got != want {
				t.Errorf("%s is there: %t, %v", id, got, err)
			}
		}
	})
}
