package engine

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/mesh/fair"
)

// admissionTest is an admission with what it counts.
type admissionTest struct {
	admission
	refusals []string
	active   float64
}

func newAdmissionTest(slots int) *admissionTest {
	a := &admissionTest{}
	a.admission = admission{
		limiter: newLimiter(), slots: &fair.Semaphore{Limit: slots}, maxQueued: 3, maxQueuedPerUser: 2,
		refused:   func(bound string) { a.refusals = append(a.refusals, bound) },
		activeAdd: func(delta float64) { a.active += delta },
	}
	return a
}

func executionOf(id, user string, limits *definition.Limits) *execution {
	return newExecution(Row{ID: id, UserID: user, Limits: limits}, simulated["steps"].def)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		queued  []string
		load    load
		stalled time.Duration
		want    error
		refused []string
	}{
		"nothing":               {},
		"stalled for a moment":  {stalled: time.Millisecond},
		"stalled":               {stalled: 2 * stallAfter, want: errStalled},
		"other users wait":      {queued: []string{"bob", "bob", "eve"}},
		"the user waits":        {queued: []string{"ada", "ada"}, want: errUserQueueFull, refused: []string{"user"}},
		"the process is full":   {queued: []string{"bob", "bob", "eve", "eve"}, want: errOverloaded, refused: []string{"process"}},
		"transitions wait":      {load: load{pendingTransitions: maxPendingTransitions}},
		"too many transitions":  {load: load{pendingTransitions: maxPendingTransitions + 1}, want: errOverloaded, refused: []string{"process"}},
		"too much to project":   {load: load{backlogged: true}, want: errOverloaded, refused: []string{"process"}},
		"the user, then others": {queued: []string{"ada", "ada", "bob", "bob"}, want: errUserQueueFull, refused: []string{"user"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(0)
			for _, user := range test.queued {
				a.slots.AcquireOrQueue(user, 0, func() {})
			}
			if test.stalled > 0 {
				test.load.stalledSince = time.Now().Add(-test.stalled)
			}
			if err := a.check("ada", test.load); err != test.want { //nolint:errorlint // errors.Is compares codes
				t.Errorf("%v, want %v", err, test.want)
			}
			if !slices.Equal(a.refusals, test.refused) {
				t.Errorf("counted as %q, want %q", a.refusals, test.refused)
			}
		})
	}
}

func TestRefusalOfWaitingExecutions(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(10)
	limits := &definition.Limits{ConcurrencyKey: "k", MaxConcurrent: 1}
	for _, id := range []string{"1", "2"} {
		if err := a.admit(executionOf(id, "ada", limits)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.admit(executionOf("3", "ada", limits)); !errors.Is(err, errUserQueueFull) {
		t.Errorf("a third one of the user: %v", err)
	}
	if err := a.admit(executionOf("4", "ada", nil)); err != nil {
		t.Errorf("one without limits: %v", err)
	}
	if err := a.admit(executionOf("5", "bob", limits)); err != nil || a.waitingCount() != 3 {
		t.Errorf("another user's: %v, %d wait", err, a.waitingCount())
	}
	if !slices.Equal(a.refusals, []string{"user"}) {
		t.Errorf("counted as %q", a.refusals)
	}
}

// TestSlots takes and returns slots in each state of an execution.
func TestSlots(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(1)
	ready := make(chan string, 1)
	first, second, third := executionOf("1", "ada", nil), executionOf("2", "bob", nil), executionOf("3", "eve", nil)
	acquire := func(h *execution) bool { return a.acquire(h, func() { ready <- h.row.ID }) }
	if !acquire(first) || a.active != 1 || !acquire(first) || a.active != 1 {
		t.Fatalf("the first one has a slot: %v, %v active", first.hasSlot, a.active)
	}
	again := acquire(second) || a.slots.Queued() != 1
	if again || acquire(second) || second.slotRequest == nil || a.slots.Queued() != 1 {
		t.Fatalf("the second one waits: %+v, %d queued", second.slotRequest, a.slots.Queued())
	}
	acquire(third)
	a.release(third) // its request is withdrawn
	if a.slots.Queued() != 1 || third.slotRequest != nil {
		t.Errorf("%d are queued after a withdrawal", a.slots.Queued())
	}
	a.release(third) // which changes nothing
	a.release(first)
	if got := <-ready; got != "2" || a.active != 0 || first.hasSlot {
		t.Errorf("%s gets the slot, %v are active", got, a.active)
	}
	a.release(second) // the slot is on its way, and is returned by who gets it
	if second.slotRequest == nil || a.slots.Free() != 0 {
		t.Errorf("a slot on its way is returned twice: %d are free", a.slots.Free())
	}
	second.slotRequest = nil
	a.grant(second)
	a.release(second)
	a.release(second)
	if a.slots.Free() != 1 || a.active != 0 {
		t.Errorf("%d slots are free at the end, %v active", a.slots.Free(), a.active)
	}
}

// TestRestoredLimits counts what SQL has, then what only the log has; what has started counts, and what is suspended waits for
// nothing.
func TestRestoredLimits(t *testing.T) {
	t.Parallel()
	limits := &definition.Limits{ConcurrencyKey: "k", MaxConcurrent: 5}
	rows := []LimitRow{
		(&waiter{Limits: *limits, id: "stored", user: "ada"}).row(0), (&waiter{Limits: *limits, id: "running", user: "ada", started: 5}).row(0),
		(&waiter{Limits: *limits, id: "suspended", user: "bob"}).row(0),
	}
	all := map[string]*execution{}
	for _, id := range []string{"stored", "suspended", "logged"} {
		all[id] = executionOf(id, "ada", nil)
	}
	all["logged"].row.Limits = limits
	all["suspended"].suspended = true
	a := newAdmissionTest(10)
	a.restore(rows, all)
	if busy := a.limiter.concurrencyKeys["k"].busy; busy != 1 {
		t.Errorf("%d count, want the running one", busy)
	}
	if got := a.limiter.waiters; len(got) != 4 || got["stored"].queue == nil || got["logged"].queue == nil || got["suspended"].queue != nil {
		t.Errorf("the waiters are %+v", got)
	}
	for id, h := range all {
		if h.waiter != a.limiter.waiters[id] || !h.isWaiting() {
			t.Errorf("%s: %+v", id, h.waiter)
		}
	}
}

func TestOverloadIsNotRetried(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errStalled, errOverloaded} {
		if !isOverload(err) || isMoving(err) {
			t.Errorf("%v is retried at once", err)
		}
	}
	if !isMoving(errPartitionMoving) || isMoving(errUserQueueFull) || isMoving(errors.New("x")) || isMoving(nil) {
		t.Error("only a partition without an owner is tried again")
	}
}
