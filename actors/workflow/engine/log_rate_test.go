package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/mesh/fair"
)

// pacedPartition is a partition whose log rate is 20 bytes a second, and which has 10 slots.
func pacedPartition(t *testing.T) *partition {
	p := &partition{ctx: t.Context(), executions: map[string]*execution{}, e: &Engine{
		logRate: &logRate{rate: 20, now: time.Now, debts: map[string]float64{}}, stopping: make(chan struct{}),
	}}
	p.mu.held = prometheus.ObserverFunc(func(float64) {})
	p.admission = admission{slots: &fair.Semaphore{Limit: 10, PerUser: 8}, activeAdd: func(float64) {}}
	return p
}

// waits returns how long a slice of a user's execution waits for the log rate.
func (p *partition) waits(h *execution, hurry chan struct{}) time.Duration {
	start := time.Now()
	pacing{p}.awaitLogRate(h, hurry)
	return time.Since(start).Round(100 * time.Millisecond)
}

// TestLargeDecisionsAreSlowedDown: a user who writes much waits, by the user's share of the rate; others do not wait for that.
func TestLargeDecisionsAreSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacedPartition(t)
		l := p.e.logRate
		took := func(user string) time.Duration { return p.waits(&execution{row: Row{UserID: user}}, nil) }
		l.wrote("ada", 20)
		if took := took("ada"); took != 0 {
			t.Errorf("within the burst, a user waits %s", took)
		}
		l.wrote("ada", 40)
		if bob, ada := took("bob"), took("ada"); bob != 0 || ada != 4*time.Second {
			t.Errorf("the user waits %s, another one %s", ada, bob)
		}
		for _, user := range []string{"eve", "mallory", "trudy"} {
			l.wrote(user, 100)
		}
		l.wrote("bob", 1)
		if bob, eve := took("bob"), took("eve"); bob != 0 || eve < 14*time.Second || eve > 17*time.Second {
			t.Errorf("while others write too much, a user waits %s, and one of them %s", bob, eve)
		}
		close(p.e.stopping)
		l.wrote("eve", 1000)
		if eve := took("eve"); eve != 0 {
			t.Errorf("a process that stops waits %s", eve)
		}
	})
}

// TestSlotsAreYieldedWhileWaiting: executions that wait for the log rate keep their slots until others need them, and then those of their user's share.
func TestSlotsAreYieldedWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacedPartition(t)
		p.e.logRate.wrote("eve", 1000)
		for i := range 8 {
			h := &execution{row: Row{ID: fmt.Sprint(i), UserID: "eve"}}
			p.executions[h.row.ID] = h
			if !p.admission.acquire(h, func() {}) {
				t.Fatalf("no slot for execution %d", i)
			}
			go pacing{p}.awaitLogRate(h, nil)
		}
		time.Sleep(time.Second)
		if slots := p.admission.slots.ActiveOf("eve"); slots != 8 {
			t.Errorf("without others, %d of 8 slots are kept", slots)
		}
		for i := range 3 {
			p.admission.acquire(&execution{row: Row{ID: fmt.Sprint("a", i), UserID: "ada"}}, func() {})
		}
		time.Sleep(2 * maxPause)
		if ada, eve := p.admission.slots.ActiveOf("ada"), p.admission.slots.ActiveOf("eve"); ada != 3 || eve < 3 || eve == 8 {
			t.Errorf("another user has %d slots, the first one keeps %d", ada, eve)
		}
		close(p.e.stopping)
	})
}

// TestCommandsThatEndDoNotWait: a command that ends an execution does not wait for its user's debt, but once.
func TestCommandsThatEndDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacedPartition(t)
		p.e.logRate.wrote("eve", 1000)
		h := &execution{row: Row{ID: "x", UserID: "eve"}, deciding: true, hurry: make(chan struct{})}
		p.executions["x"] = h
		commanded := make(chan struct{})
		time.AfterFunc(time.Second, func() {
			done := pacing{p}.hurryToEnd("x")
			p.mu.Lock()
			if !h.ending {
				t.Error("the slice of the command waits")
			}
			p.mu.Unlock()
			done()
			pacing{p}.hurryToEnd("x")
			close(commanded)
		})
		if took := p.waits(h, h.hurry); took != time.Second {
			t.Errorf("the slice before the command waits %s", took)
		}
		<-commanded
		p.mu.Lock()
		defer p.mu.Unlock()
		if h.ending {
			t.Error("later slices do not wait")
		}
	})
}
