package auth

import (
	"net/netip"
	"time"
)

// source is what failures are counted by: an IPv4 address, or the /64 that an IPv6 address belongs to, since whoever
// has one of its addresses has them all. What is no address counts as one source.
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

// attempts is what the bucket auth_attempts keeps of one address and source.
type attempts struct {
	Failures int       `json:"failures,omitempty"`
	FailedAt time.Time `json:"failed_at,omitzero"`
	// LockedUntil is set by the last failure allowed, and moved by nothing.
	LockedUntil time.Time `json:"locked_until,omitzero"`
	// Pending are logins whose password is being compared, with when they began.
	Pending map[string]time.Time `json:"pending,omitempty"`
}

// pendingFor is how long a comparison may take before its process counts as dead, and the attempt as failed.
const pendingFor = time.Minute

// lockout is the rule that attempts are counted by.
type lockout struct {
	failures int
	length   time.Duration
}

// verdict is what admit says of a further attempt.
type verdict int

const (
	// admitted: compare the password, then settle.
	admitted verdict = iota
	// busy: as many comparisons are under way as failures are left; one of them must end first.
	busy
	// locked: not before LockedUntil.
	locked
)

// admit takes note of an attempt that begins. Never more comparisons are under way than failures are left, so that
// parallel guesses get no more tries than serial ones.
func (l lockout) admit(a attempts, id string, now time.Time) (attempts, verdict) {
	a = l.forget(a, now)
	switch {
	case now.Before(a.LockedUntil):
		return a, locked
	case a.Failures+len(a.Pending) >= l.failures:
		return a, busy
	}
	pending := map[string]time.Time{id: now}
	for other, at := range a.Pending {
		pending[other] = at
	}
	a.Pending = pending
	return a, admitted
}

// settle takes note of how an attempt ended. A success forgives the failures before it.
func (l lockout) settle(a attempts, id string, failed bool, now time.Time) attempts {
	a = l.without(a, id)
	if failed {
		return l.fail(a, now)
	}
	a.Failures, a.FailedAt, a.LockedUntil = 0, time.Time{}, time.Time{}
	return a
}

// abandon takes back an attempt that never came to a comparison.
func (l lockout) abandon(a attempts, id string) attempts { return l.without(a, id) }

func (l lockout) fail(a attempts, at time.Time) attempts {
	a.Failures++
	if at.After(a.FailedAt) {
		a.FailedAt = at
	}
	if a.Failures >= l.failures && a.LockedUntil.IsZero() {
		a.LockedUntil = a.FailedAt.Add(l.length)
	}
	return a
}

// forget drops what no longer counts, and counts attempts whose process died as failures.
func (l lockout) forget(a attempts, now time.Time) attempts {
	for id, at := range a.Pending {
		if now.Sub(at) > pendingFor {
			a = l.fail(l.without(a, id), at)
		}
	}
	if a.Failures > 0 && now.Sub(a.FailedAt) >= l.length && !now.Before(a.LockedUntil) {
		a.Failures, a.FailedAt, a.LockedUntil = 0, time.Time{}, time.Time{}
	}
	return a
}

func (l lockout) without(a attempts, id string) attempts {
	rest := make(map[string]time.Time, len(a.Pending))
	for other, at := range a.Pending {
		if other != id {
			rest[other] = at
		}
	}
	a.Pending = rest
	return a
}

// empty tells whether there is nothing to remember.
func (a attempts) empty() bool { return a.Failures == 0 && len(a.Pending) == 0 }
