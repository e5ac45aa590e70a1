package lockout

import (
	"net/netip"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Source returns the network by which failures are counted; see mesh.ClientNetwork. All malformed addresses count as one
// source, "".
func Source(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	return mesh.ClientNetwork(address).String()
}

// AttemptRecord is an entry of the bucket auth_attempts.
type AttemptRecord struct {
	Failures int       `json:"failures,omitempty"`
	FailedAt time.Time `json:"failed_at,omitzero"`
	// LockedUntil is set by the last failure allowed; later attempts do not extend it.
	LockedUntil time.Time `json:"locked_until,omitzero"`
	// Pending maps attempts whose comparison is in flight to the time they began.
	Pending map[string]time.Time `json:"pending,omitempty"`
}

// PendingTimeout is the time after which an attempt in flight counts as failed, because its process must have died.
const PendingTimeout = time.Minute

// Rule is the rule of a limiter: limit failures lock the key for duration.
type Rule struct {
	Limit    int
	Duration time.Duration
}

// Verdict is the result of admit.
type Verdict int

const (
	// Admitted means: compare the password, then settle.
	Admitted Verdict = iota
	// Busy means: as many comparisons are in flight as failures are left; one must end first.
	Busy
	// Locked means: refused until LockedUntil.
	Locked
)

// Admit adds an attempt. At most as many comparisons are in flight as failures are left, so that concurrent guesses get
// no more tries than serial ones.
func (l Rule) Admit(a AttemptRecord, id string, now time.Time) (AttemptRecord, Verdict) {
	a = l.expire(a, now)
	switch {
	case now.Before(a.LockedUntil):
		return a, Locked
	case a.Failures+len(a.Pending) >= l.Limit:
		return a, Busy
	}
	pending := map[string]time.Time{id: now}
	for other, at := range a.Pending {
		pending[other] = at
	}
	a.Pending = pending
	return a, Admitted
}

// Settle removes an attempt and counts its result. A success resets the failures.
func (l Rule) Settle(a AttemptRecord, id string, failed bool, now time.Time) AttemptRecord {
	a = l.without(a, id)
	if failed {
		return l.fail(a, now)
	}
	a.Failures, a.FailedAt, a.LockedUntil = 0, time.Time{}, time.Time{}
	return a
}

// Abandon removes an attempt without counting it.
func (l Rule) Abandon(a AttemptRecord, id string) AttemptRecord { return l.without(a, id) }

func (l Rule) fail(a AttemptRecord, at time.Time) AttemptRecord {
	a.Failures++
	if at.After(a.FailedAt) {
		a.FailedAt = at
	}
	if a.Failures >= l.Limit && a.LockedUntil.IsZero() {
		a.LockedUntil = a.FailedAt.Add(l.Duration)
	}
	return a
}

// expire drops failures that no longer count, and counts the attempts of dead processes as failures.
func (l Rule) expire(a AttemptRecord, now time.Time) AttemptRecord {
	for id, at := range a.Pending {
		if now.Sub(at) > PendingTimeout {
			a = l.fail(l.without(a, id), at)
		}
	}
	if a.Failures > 0 && now.Sub(a.FailedAt) >= l.Duration && !now.Before(a.LockedUntil) {
		a.Failures, a.FailedAt, a.LockedUntil = 0, time.Time{}, time.Time{}
	}
	return a
}

func (l Rule) without(a AttemptRecord, id string) AttemptRecord {
	rest := make(map[string]time.Time, len(a.Pending))
	for other, at := range a.Pending {
		if other != id {
			rest[other] = at
		}
	}
	a.Pending = rest
	return a
}

// empty reports whether the entry can be deleted.
func (a AttemptRecord) empty() bool { return a.Failures == 0 && len(a.Pending) == 0 }
