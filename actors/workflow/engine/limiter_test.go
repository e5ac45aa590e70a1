package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLimiter adds, starts, ends and suspends executions in any order, over any number of owners: no limit is exceeded, no execution
// waits although its limits allow it, and those that wait for the same keys are admitted in order.
func TestLimiter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := limiterModel{T: t, limiter: newLimiter(), now: time.Unix(1000, 0), all: map[string]*waiter{}, suspended: map[string]bool{}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 10).Draw(t, "what") {
			case 0, 1, 2, 3:
				m.add()
			case 4, 5:
				m.start()
			case 6, 7:
				m.remove()
			case 8:
				m.now = m.now.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "seconds")) * time.Second)
			case 9:
				m.takeOver()
			case 10:
				m.suspend()
			}
			m.admit()
			m.check()
		}
	})
}

type limiterModel struct {
	*rapid.T
	limiter limiter
	now     time.Time
	all     map[string]*waiter
	// suspended are those of all that are in no queue.
	suspended map[string]bool
	// ended are those that have ended after their start.
	ended []*waiter
}

func (m *limiterModel) add() {
	t := &waiter{id: fmt.Sprint(len(m.all) + len(m.ended)), workflow: "w", created: int64(len(m.all)), priority: rapid.IntRange(0, 2).Draw(m.T, "priority")}
	t.id = fmt.Sprintf("%s/%d", t.id, m.now.UnixNano())
	if key := rapid.SampledFrom([]string{"", "a", "b"}).Draw(m.T, "concurrency key"); key != "" {
		t.ConcurrencyKey, t.MaxConcurrent = key, 2
	}
	if key := rapid.SampledFrom([]string{"", "x", "y"}).Draw(m.T, "rate key"); key != "" || t.ConcurrencyKey == "" {
		t.RateKey, t.Rate, t.Period = key+"p", 3, 10*time.Second
	}
	for m.all[t.id] != nil {
		t.id += "'"
	}
	m.all[t.id] = t
	m.limiter.add(t)
}

// some returns the executions whose stage a condition holds for, by id.
func (m *limiterModel) some(is func(stage) bool) (all []*waiter) {
	for _, t := range m.all {
		if is(t.stage) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *waiter) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return all
}

func (m *limiterModel) start() {
	if admitted := m.some(func(s stage) bool { return s == stageAdmitted }); len(admitted) > 0 {
		m.limiter.started(rapid.SampledFrom(admitted).Draw(m.T, "starts"), m.now)
	}
}

func (m *limiterModel) remove() {
	live := m.some(func(s stage) bool { return s < stageEnded })
	if len(live) == 0 {
		return
	}
	t := rapid.SampledFrom(live).Draw(m.T, "removed")
	m.limiter.remove(t)
	delete(m.all, t.id)
	delete(m.suspended, t.id)
	if t.started > 0 {
		m.ended = append(m.ended, t)
	}
}

// admit admits the executions that the limits allow, and checks their order.
func (m *limiterModel) admit() {
	var queues []*queue
	for _, q := range m.limiter.queues {
		queues = append(queues, q)
	}
	for t := m.limiter.admitNext(queues, m.now); t != nil; t = m.limiter.admitNext(queues, m.now) {
		for _, other := range m.all {
			if other.stage == stageWaiting && !m.suspended[other.id] && other.ConcurrencyKey == t.ConcurrencyKey && other.RateKey == t.RateKey && precedes(other, t) {
				m.Fatalf("%+v is admitted before %+v", t, other)
			}
		}
	}
}

// takeOver makes the limiter anew from the rows of SQL; an execution that had not started waits again.
func (m *limiterModel) takeOver() {
	p := &admission{limiter: newLimiter()}
	rows := []LimitRow{}
	for _, t := range m.all {
		rows = append(rows, t.row(0))
	}
	for _, t := range m.ended {
		rows = append(rows, t.row(0))
	}
	for _, row := range rows {
		if row.CountsUntil <= m.now.UnixMicro() {
			continue
		}
		t := row.waiter()
		p.limiter.restore(t)
		if t.stage != stageEnded {
			m.all[t.id] = t
		}
	}
	m.limiter = p.limiter
	for id := range m.suspended {
		if t := m.all[id]; t != nil {
			m.limiter.dequeue(t)
		}
	}
}

// suspend takes a waiting execution out of its queue, or puts it back.
func (m *limiterModel) suspend() {
	waiting := m.some(func(s stage) bool { return s == stageWaiting })
	if len(waiting) == 0 {
		return
	}
	t := rapid.SampledFrom(waiting).Draw(m.T, "suspended")
	if m.suspended[t.id] {
		delete(m.suspended, t.id)
		m.limiter.enqueue(t)
		return
	}
	m.suspended[t.id] = true
	m.limiter.dequeue(t)
}

func (m *limiterModel) check() {
	busy, recent := map[string]int{}, map[string]int{}
	count := func(t *waiter) {
		if t.RateKey != "" && t.started > m.now.Add(-t.Period).UnixMicro() {
			recent[t.RateKey]++
		}
	}
	for _, t := range m.all {
		if t.ConcurrencyKey != "" && t.stage > stageWaiting {
			busy[t.ConcurrencyKey]++
		}
		if t.RateKey != "" && t.stage == stageAdmitted {
			recent[t.RateKey]++
		}
		count(t)
	}
	for _, t := range m.ended {
		count(t)
	}
	for name, n := range busy {
		if n > 2 || m.limiter.concurrencyKeys[name].busy != n {
			m.Fatalf("%d run with concurrency key %s, counted as %d", n, name, m.limiter.concurrencyKeys[name].busy)
		}
	}
	for name, n := range recent {
		if n > 3 {
			m.Fatalf("%d started with rate key %s", n, name)
		}
	}
	for _, t := range m.all {
		if m.suspended[t.id] {
			if t.stage != stageWaiting {
				m.Fatalf("%+v was admitted while it was suspended", t)
			}
			continue
		}
		if t.stage != stageWaiting {
			continue
		}
		if (t.ConcurrencyKey == "" || busy[t.ConcurrencyKey] < 2) && (t.RateKey == "" || recent[t.RateKey] < 3) {
			m.Fatalf("%+v waits although its limits allow it: %v %v", t, busy, recent)
		}
		if opens := m.limiter.opensAt(t, m.now); !opens.IsZero() && !opens.After(m.now) {
			m.Fatalf("%+v waits, and its limits allow it since %s", t, opens)
		}
	}
}
