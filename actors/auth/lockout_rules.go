package auth

import (
	"net/netip"
	"time"
)

// source returns what failures are counted by: an IPv4 address, or the /64 of an IPv6 address, because one client
// usually has a whole /64. All malformed addresses count as one source.
func source(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		prefix, err := address.Prefix(64)
		if err != nil {
			return ""
		}
		return prefix.String()
	}
	return address.String()
}

// attemptRecord is an entry of the bucket auth_attempts.
type attemptRecord struct {
	Failures int       `json:"failures,omitempty"`
	FailedAt time.Time `json:"failed_at,omitzero"`
	// LockedUntil is set by the last failure allowed; later attempts do not extend it.
	LockedUntil time.Time `json:"locked_until,omitzero"`
	// Pending maps attempts whose comparison is in flight to the time they began.
	Pending map[string]time.Time `json:"pending,omitempty"`
}

// pendingTimeout is the time after which an attempt in flight counts as failed, because its process must have died.
const pendingTimeout = time.Minute

// lockout is the rule of a limiter: limit failures lock the key for duration.
type lockout struct {
	limit    int
	duration time.Duration
}

// verdict is the result of admit.
type verdict int

const (
	// admitted: compare the password, then settle.
	admitted verdict = iota
	// busy: as many comparisons are in flight as failures are left; one must end first.
	busy
	// locked: refused until LockedUntil.
	locked
)

// admit adds an attempt. At most as many comparisons are in flight as failures are left, so that concurrent guesses get
// no more tries than serial ones.
func (l lockout) admit(a attemptRecord, id string, now time.Time) (attemptRecord, verdict) {
	a = l.expire(a, now)
	switch {
	case now.Before(a.LockedUntil):
		return a, locked
	case a.Failures+len(a.Pending) >= l.limit:
		return a, busy
	}
	pending := map[string]time.Time{id: now}
	for other, at := range a.Pending {
		pending[other] = at
	}
	a.Pending = pending
	return a, admitted
}

// settle removes an attempt and counts its result. A success resets the failures.
func (l lockout) settle(a attemptRecord, id string, failed bool, now time.Time) attemptRecord {
	a = l.without(a, id)
	if failed {
		return l.fail(a, now)
	}
	a.Failures, a.FailedAt, a.LockedUntil = 0, time.Time{}, time.Time{}
	return a
}

// abandon removes an attempt without counting it.
func (l lockout) abandon(a attemptRecord, id string) attemptRecord { return l.without(a, id) }

func (l lockout) fail(a attemptRecord, at time.Time) attemptRecord {
	a.Failures++
	if at.After(a.FailedAt) {
		a.FailedAt = at
	}
	if a.Failures >= l.limit && a.LockedUntil.IsZero() {
		a.LockedUntil = a.FailedAt.Add(l.duration)
	}
	return a
}

// expire drops failures that no longer count, and counts the attempts of dead processes as failures.
func (l lockout) expire(a attemptRecord, now time.Time) attemptRecord {
	for id, at := range a.Pending {
		if now.Sub(at) > pendingTimeout {
			a = l.fail(l.without(a, id), at)
		}
	}
	if a.Failures > 0 && now.Sub(a.FailedAt) >= l.duration && !now.Before(a.LockedUntil) {
		a.Failures, a.FailedAt, a.LockedUntil = 0, time.Time{}, time.Time{}
	}
	return a
}

func (l lockout) without(a attemptRecord, id string) attemptRecord {
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
func (a attemptRecord) empty() bool { return a.Failures == 0 && len(a.Pending) == 0 }
