package engine

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestFairSemaphore: a user who waits gets a slot before any other user gets two; the requests of one user are granted by priority,
// then by age; a withdrawn request does not change the order of the others; and no slot is lost or granted twice.
func TestFairSemaphore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := fairSemaphore{limit: rapid.IntRange(1, 3).Draw(t, "slots")}
		type one struct {
			user             string
			priority, number int
			queued           *slotRequest
		}
		var wait []one
		since := map[string]map[string]int{} // by user who waits: the slots that the others have got since
		active := 0
		for number := range rapid.IntRange(1, 80).Draw(t, "steps") {
			if active == 0 || rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				w := one{
					user: rapid.SampledFrom([]string{"ada", "bob", "eve"}).Draw(t, "user"), priority: rapid.IntRange(-1, 1).Draw(t, "priority"), number: number,
				}
				if w.queued = f.acquireOrQueue(w.user, w.priority, func() {}); w.queued == nil {
					active++
				} else if wait = append(wait, w); since[w.user] == nil {
					since[w.user] = map[string]int{}
				}
				continue
			}
			if len(wait) > 0 && rapid.Bool().Draw(t, "withdraw") {
				at := rapid.IntRange(0, len(wait)-1).Draw(t, "request")
				withdrawn := wait[at]
				if !f.cancel(withdrawn.queued) || f.cancel(withdrawn.queued) {
					t.Fatal("a queued request can be withdrawn once")
				}
				if wait = slices.Delete(wait, at, at+1); f.queuedOf(withdrawn.user) == 0 {
					delete(since, withdrawn.user)
				}
				continue
			}
			if f.queued() == 0 {
				f.release()
				active--
				continue
			}
			user := f.userOrder[0]
			got := f.pop()
			at := slices.IndexFunc(wait, func(w one) bool {
				return w.user == user && !slices.ContainsFunc(wait, func(other one) bool {
					return other.user == user && (other.priority > w.priority || other.priority == w.priority && other.number < w.number)
				})
			})
			if at < 0 || wait[at].queued != got || f.cancel(got) {
				t.Fatalf("%s got a slot with priority %d, of %v", user, got.priority, wait)
			}
			wait = slices.Delete(wait, at, at+1)
			delete(since, user)
			for _, w := range wait {
				if w.user == user {
					since[user] = map[string]int{}
				}
			}
			for other, counts := range since {
				if counts[user]++; other != user && counts[user] > 1 {
					t.Fatalf("%s got two slots while %s waited for one", user, other)
				}
			}
		}
		if f.active != active || f.queued() != len(wait) {
			t.Fatalf("%d slots are taken and %d wait, want %d and %d", f.active, f.queued(), active, len(wait))
		}
	})
}

// TestFairOrder: users take turns in the order in which a new owner continues executions.
func TestFairOrder(t *testing.T) {
	var all []*execution
	for i, text := range []string{"bob 0", "ada 5", "ada 5", "ada 9", "eve -1", "bob 1"} {
		h := &execution{row: Row{ID: text, CreatedAt: int64(i)}}
		if _, err := fmt.Sscan(text, &h.row.UserID, &h.row.Priority); err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	var got []string
	for _, h := range fairOrder(all) {
		got = append(got, fmt.Sprintf("%s %d", h.row.ID, h.row.CreatedAt))
	}
	if want := []string{"ada 9 3", "bob 1 5", "eve -1 4", "ada 5 1", "bob 0 0", "ada 5 2"}; !slices.Equal(got, want) {
		t.Errorf("the order is %q, want %q", got, want)
	}
}
