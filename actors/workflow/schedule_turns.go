package workflow

import (
	"cmp"
	"slices"
	"sync"
)

// scheduleTurns runs functions for users: a number at a time, one of a user at a time, and those first that were served longest ago.
type scheduleTurns struct {
	slots chan struct{}
	// ended has an item after a function has returned.
	ended   chan struct{}
	running sync.WaitGroup

	mu   sync.Mutex
	busy map[string]bool
	// last is when a user was served last, of the users that order got, by the count of functions run.
	last  map[string]int64
	count int64
}

func newScheduleTurns(workers int) *scheduleTurns {
	return &scheduleTurns{
		slots: make(chan struct{}, workers), ended: make(chan struct{}, 1), busy: map[string]bool{}, last: map[string]int64{},
	}
}

// order returns the users for whom no function runs in the order of their turns. users must have all for whom there is something to do.
func (t *scheduleTurns) order(users []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := make(map[string]int64, len(users))
	free := make([]string, 0, len(users))
	for _, user := range users {
		last[user] = t.last[user]
		if !t.busy[user] {
			free = append(free, user)
		}
	}
	for user := range t.busy {
		last[user] = t.last[user]
	}
	t.last = last
	slices.SortStableFunc(free, func(a, b string) int { return cmp.Compare(last[a], last[b]) })
	return free
}

// run runs f for a user once there is a slot. It does not wait for its end.
func (t *scheduleTurns) run(user string, f func()) {
	t.slots <- struct{}{}
	t.mu.Lock()
	t.count++
	t.busy[user], t.last[user] = true, t.count
	t.mu.Unlock()
	t.running.Go(func() {
		defer t.end(user)
		f()
	})
}

func (t *scheduleTurns) end(user string) {
	t.mu.Lock()
	delete(t.busy, user)
	t.mu.Unlock()
	<-t.slots
	select {
	case t.ended <- struct{}{}:
	default:
	}
}

// wait returns when no function runs.
func (t *scheduleTurns) wait() { t.running.Wait() }
