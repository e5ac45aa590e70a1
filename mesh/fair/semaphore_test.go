package fair

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSemaphore: no more slots are taken than there are, in all and by a user; users whose requests are queued take turns, and one user's
// requests come by priority, then by age. A slot stays free only while nobody may have it.
func TestSemaphore(t *testing.T) {
	t.Parallel()
	type request struct {
		user     string
		priority int
		number   int
		queued   *Request
	}
	rapid.Check(t, func(t *rapid.T) {
		f := Semaphore{Limit: rapid.IntRange(1, 3).Draw(t, "slots"), PerUser: rapid.IntRange(0, 2).Draw(t, "per user")}
		granted := make(chan request, 1)
		var waiting []request
		var holders []string
		since := map[string]map[string]int{} // by user who waits and may have a slot: the slots that the others have got since
		taken := func(user string) (count int) {
			for _, holder := range holders {
				if holder == user {
					count++
				}
			}
			return count
		}
		mayHave := func(user string) bool {
			users := map[string]bool{}
			for _, holder := range holders {
				users[holder] = true
			}
			switch free := f.Limit - len(holders); {
			case free == 0:
				return false
			case f.PerUser == 0 || taken(user) == 0:
				return true
			case len(users) > 1:
				return free > f.Limit/reservedPart && taken(user) < min(f.PerUser, max(1, f.Limit/(len(users)+1)))
			}
			return taken(user) < f.PerUser
		}
		for number := range rapid.IntRange(1, 60).Draw(t, "operations") {
			switch {
			case rapid.Bool().Draw(t, "acquire"):
				one := request{user: rapid.SampledFrom([]string{"ada", "bob", "eve"}).Draw(t, "user"), priority: rapid.IntRange(0, 2).Draw(t, "priority"), number: number}
				free := mayHave(one.user)
				one.queued = f.AcquireOrQueue(one.user, one.priority, func() { granted <- one })
				if (one.queued == nil) != free {
					t.Fatalf("%s gets a slot: %t, want %t", one.user, one.queued == nil, free)
				}
				if free {
					holders = append(holders, one.user)
				} else {
					waiting = append(waiting, one)
				}
			case len(waiting) > 0 && rapid.Bool().Draw(t, "withdraw"):
				at := rapid.IntRange(0, len(waiting)-1).Draw(t, "request")
				if queued := waiting[at].queued; !f.Cancel(queued) || f.Cancel(queued) {
					t.Fatal("a queued request can be withdrawn once")
				}
				waiting = slices.Delete(waiting, at, at+1)
			case len(holders) > 0:
				at := rapid.IntRange(0, len(holders)-1).Draw(t, "holder")
				user := holders[at]
				holders = slices.Delete(holders, at, at+1)
				eligible := map[string]bool{}
				for _, r := range waiting {
					eligible[r.user] = mayHave(r.user)
				}
				f.Release(user)
				grants := len(waiting) - f.Queued()
				if slices.ContainsFunc(waiting, func(r request) bool { return mayHave(r.user) }) != (grants > 0) {
					t.Fatalf("%d requests get the slot of %s, of %v", grants, user, waiting)
				}
				for range grants { // several, where one user fewer has slots now; in any order
					got := <-granted
					at = slices.IndexFunc(waiting, func(r request) bool { return r.number == got.number })
					waiting = slices.Delete(waiting, at, at+1)
					holders = append(holders, got.user)
					if grants > 1 {
						clear(since)
						continue
					}
					for _, r := range waiting {
						if r.user == got.user && (r.priority > got.priority || r.priority == got.priority && r.number < got.number) {
							t.Fatalf("%s got a slot with priority %d before one with %d", got.user, got.priority, r.priority)
						}
					}
					for other, may := range eligible {
						if other == got.user || !may {
							delete(since, other)
							continue
						}
						if since[other] == nil {
							since[other] = map[string]int{}
						}
						if since[other][got.user]++; since[other][got.user] > 1 && slices.ContainsFunc(waiting, func(r request) bool { return r.user == other }) {
							t.Fatalf("%s got two slots while %s waited for one that it could have", got.user, other)
						}
					}
				}
				if slices.ContainsFunc(waiting, func(r request) bool { return mayHave(r.user) }) {
					t.Fatalf("a slot stays free, and %v wait", waiting)
				}
			}
			for other := range since {
				if !slices.ContainsFunc(waiting, func(r request) bool { return r.user == other }) || !mayHave(other) {
					delete(since, other)
				}
			}
			if f.active != len(holders) || f.Queued() != len(waiting) {
				t.Fatalf("%d slots are taken and %d requests wait, want %d and %d", f.active, f.Queued(), len(holders), len(waiting))
			}
		}
	})
}
