package consent

import (
	"time"

	"github.com/weftmesh/weft/subjects"
)

// changeGranted is the change of a new consent; the other changes are named after the status they lead to,
// such as subjects.ConsentRevoked.
const changeGranted = "granted"

// reasonMissing is the reason of a decision where the user never consented; the other reasons are statuses.
const reasonMissing = "missing"

// maxContinues bounds the list of earlier consents that a renewed one continues.
const maxContinues = 20

// expiryOf returns when a consent granted now expires: the requested time, or the configured lifetime from now.
func expiryOf(requested *time.Time, now time.Time, c Config) (time.Time, error) {
	if requested == nil {
		return now.Add(c.Expiry), nil
	}
	if !requested.After(now) || requested.After(now.Add(c.MaxExpiry)) {
		return time.Time{}, subjects.InvalidField("expires_at", "must be in the future and at most %s from now", c.MaxExpiry)
	}
	return *requested, nil
}

// statusAt returns the status at a moment, given the stored one. Expiry is derived from the clock and never stored.
func statusAt(stored string, expiresAt, now time.Time) string {
	if stored == subjects.ConsentActive && !now.Before(expiresAt) {
		return subjects.ConsentExpired
	}
	return stored
}

// continuesAfter returns what a consent continues that renews an active one: that one and what it continued, newest first.
func continuesAfter(renewed string, earlier []string) []string {
	continues := append([]string{renewed}, earlier...)
	return continues[:min(len(continues), maxContinues)]
}

// decide answers validate_consent from the state in the bucket; known is false where the bucket has none.
func decide(scope string, state subjects.ConsentState, known bool, now time.Time) subjects.ConsentDecision {
	d := subjects.ConsentDecision{Scope: scope, Reason: reasonMissing}
	if !known {
		return d
	}
	d.ConsentID, d.ExpiresAt = state.ConsentID, state.ExpiresAt
	switch {
	case state.Status == subjects.ConsentRenewalRequired, state.Status == subjects.ConsentGPC:
		d.Reason = state.Status
	case state.Status != subjects.ConsentActive:
		d.Reason = subjects.ConsentRevoked
	case state.ExpiresAt != nil && !now.Before(*state.ExpiresAt):
		d.Reason = subjects.ConsentExpired
	default:
		d.Reason, d.Allowed = subjects.ConsentActive, true
	}
	return d
}

// replaces reports whether a state of the given version may replace the one in the bucket. A state is never replaced by
// an older one, and a revocation never by the consent that it revoked.
func replaces(version int64, old subjects.ConsentState, known bool) bool {
	return !known || version > old.Version
}
