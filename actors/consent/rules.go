package consent

import (
	"time"

	"github.com/weftmesh/weft/subjects"
)

// The stored states of a consent. That one has expired follows from the clock.
const (
	active     = "active"
	revoked    = "revoked"
	superseded = "superseded"
	expired    = "expired"
	granted    = "granted"
	missing    = "missing"
)

// maxContinues bounds how many renewals something begun under a consent may outlive.
const maxContinues = 20

// renewal is the list of consents that a new one continues, given the active one it supersedes.
func renewal(old *consentRow, now time.Time) []string {
	if old == nil || old.statusAt(now) != active {
		return nil
	}
	continues := append([]string{old.ID}, old.Continues...)
	return continues[:min(len(continues), maxContinues)]
}

// decide answers from the state that guards read.
func decide(scope string, state subjects.ConsentState, known bool, now time.Time) subjects.ConsentDecision {
	d := subjects.ConsentDecision{Scope: scope, Reason: missing}
	if !known {
		return d
	}
	d.ConsentID, d.ExpiresAt = state.ConsentID, state.ExpiresAt
	switch {
	case state.Status != active:
		d.Reason = revoked
	case state.ExpiresAt != nil && !now.Before(*state.ExpiresAt):
		d.Reason = expired
	default:
		d.Reason, d.Allowed = active, true
	}
	return d
}

// publishable tells whether an active consent's state may take the place of what the bucket holds: a
// state never gives way to an older one, nor a revocation to the consent it revoked.
func publishable(c consentRow, old subjects.ConsentState, known bool) bool {
	return !known || c.Version > old.Version
}

// descriptions explains the scopes to those who are asked for them.
var descriptions = map[string]string{
	subjects.ScopeUserProfileRead:        "Read your profile.",
	subjects.ScopeUserProfileWrite:       "Change your profile.",
	subjects.ScopeIntegrationsRead:       "See which accounts you have connected.",
	subjects.ScopeIntegrationsConnect:    "Connect and disconnect accounts for you.",
	subjects.ScopeIntegrationsExecute:    "Act in your connected accounts on your behalf.",
	subjects.ScopeWorkflowsRead:          "See your workflows and their executions.",
	subjects.ScopeWorkflowsExecute:       "Run your workflows.",
	subjects.ScopeNotificationsSend:      "Send you notifications.",
	subjects.ScopeNotificationsMarketing: "Send you news and offers.",
}
