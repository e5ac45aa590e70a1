package engine

import (
	"maps"
	"math"
	"runtime/debug"
	"sync"
	"time"
)

// logRate bounds the rate at which large decisions write to the logs. The NATS server keeps what was written in the last ten seconds in memory,
// and disks are shared. What a slice writes is charged to its user as a debt, which is paid at the user's share of the rate; the next slice waits
// until the debt is small. Users without a debt do not wait for the others.
type logRate struct {
	// rate is in bytes a second, for all users.
	rate float64
	now  func() time.Time

	mu sync.Mutex
	// debts are what users have written beyond their shares, in bytes, at the time at.
	debts map[string]float64
	at    time.Time
}

const (
	// maxLogRate is the rate of a process without a memory limit, in bytes a second. With one it is a part of that limit, logRatePart.
	maxLogRate  = 64 << 20
	logRatePart = 64
	// burstTime is for how long a user who has not written may write at any rate.
	burstTime = 2 * time.Second
)

func newLogRate(now func() time.Time) *logRate {
	rate := float64(maxLogRate)
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		rate = min(rate, float64(limit)/logRatePart)
	}
	return &logRate{rate: rate, now: now, debts: map[string]float64{}}
}

// share is the rate at which a user's debt is paid: one user has at most half of the rate. The caller holds the lock.
func (l *logRate) share() float64 { return l.rate / float64(max(2, len(l.debts))) }

// pay reduces the debts by what was paid since the last call, and removes those that were paid. The caller holds the lock.
func (l *logRate) pay() {
	now := l.now()
	paid := l.share() * now.Sub(l.at).Seconds()
	l.at = now
	for user := range l.debts {
		l.debts[user] -= paid
	}
	maps.DeleteFunc(l.debts, func(_ string, debt float64) bool { return debt <= 0 })
}

// pause is how long a user must wait before the next slice; not more than 0 where there is no need to.
func (l *logRate) pause(userID string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pay()
	return time.Duration(l.debts[userID]/l.share()*float64(time.Second)) - burstTime
}

// wrote charges a user with what was written.
func (l *logRate) wrote(userID string, bytes int) {
	if bytes == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pay()
	l.debts[userID] += float64(bytes)
}

// pacing has a partition's executions wait for the log rate.
type pacing struct{ *partition }

// maxPause bounds the pause between two looks at a debt: the share grows when others have paid, and others may need the slot.
const maxPause = 100 * time.Millisecond

// logRatePause is how long an execution's slice must wait for its user's debt; not more than 0 where it need not: once hurry is closed, and once the
// process stops.
func (p pacing) logRatePause(userID string, hurry <-chan struct{}) time.Duration {
	select {
	case <-hurry:
		return 0
	case <-p.e.stopping:
		return 0
	default:
		return p.e.logRate.pause(userID)
	}
}

// isBeingLeft is leaving for callers that do not hold the lock.
func (p pacing) isBeingLeft() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving()
}

// awaitLogRate returns when an execution's slice may write to the log, or the partition is closed. An execution that waits gives its slot back if
// its user has more than a share of them and other executions need one: it would hold the slot for as long as the user's debt is large.
func (p pacing) awaitLogRate(h *execution, hurry <-chan struct{}) {
	userID := h.row.UserID
	for pause := p.logRatePause(userID, hurry); pause > 0; pause = p.logRatePause(userID, hurry) {
		p.yieldSlot(h)
		select {
		case <-time.After(min(pause+time.Millisecond, maxPause)):
		case <-hurry:
		case <-p.e.stopping:
		case <-p.ctx.Done():
			return
		}
	}
}

// yieldSlot gives the slot of an execution back if others need it. The execution gets one again before its next calls.
func (p pacing) yieldSlot(h *execution) {
	if !p.admission.slots.IsOverShare(h.row.UserID) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.hasSlot && p.executions[h.row.ID] == h && p.admission.slots.IsOverShare(h.row.UserID) {
		p.admission.release(h)
	}
}

// hurryToEnd lets a command that ends an execution pass the log rate: the slice that the command waits for, and that which carries it out, until
// done is called. Once for each execution, so that commands are no way around the rate.
func (p pacing) hurryToEnd(id string) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.executions[id]
	if h == nil || h.hurried {
		return func() {}
	}
	h.ending, h.hurried = true, true
	if h.deciding {
		close(h.hurry)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		h.ending = false
	}
}
