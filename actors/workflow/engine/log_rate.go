package engine

import (
	"context"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"
)

// logRate bounds the rate at which large decisions write to the logs, by user and in all. The NATS server keeps what was written in the last ten
// seconds in memory, and disks are shared. What a slice writes is charged afterwards; the next one waits until what is owed is small.
type logRate struct {
	// user and all are bytes a second; a burst is as much as is written in burstTime.
	user, all float64
	now       func() time.Time

	mu    sync.Mutex
	total debt
	users map[string]debt
}

// debt is what was written beyond the rate, in bytes, at a time.
type debt struct {
	bytes float64
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
	all := float64(maxLogRate)
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		all = min(all, float64(limit)/logRatePart)
	}
	return &logRate{user: all / 2, all: all, now: now, users: map[string]debt{}}
}

// left is what is still owed at a time, at a rate in bytes a second.
func (d debt) left(now time.Time, rate float64) float64 {
	return max(0, d.bytes-rate*now.Sub(d.at).Seconds())
}

// wait returns when a user may write again, or ctx ends, or the process stops, which is not to wait for this.
func (l *logRate) wait(ctx context.Context, stopping <-chan struct{}, userID string) {
	for {
		l.mu.Lock()
		now := l.now()
		burst := burstTime.Seconds()
		pause := max(l.users[userID].left(now, l.user)/l.user-burst, l.total.left(now, l.all)/l.all-burst)
		l.mu.Unlock()
		if pause <= 0 || wait.Until(ctx, stopping, time.Duration(pause*float64(time.Second))+time.Millisecond) != nil {
			return
		}
	}
}

// wrote charges a user with what was written.
func (l *logRate) wrote(userID string, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.total = debt{l.total.left(now, l.all) + float64(bytes), now}
	l.users[userID] = debt{l.users[userID].left(now, l.user) + float64(bytes), now}
	if len(l.users) > maxActiveUsers {
		for user, owed := range l.users {
			if owed.left(now, l.user) == 0 {
				delete(l.users, user)
			}
		}
	}
}
