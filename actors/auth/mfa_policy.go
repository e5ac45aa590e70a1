package auth

import (
	"slices"

	"github.com/weftmesh/weft/subjects"
)

// Values of Config.RequireSecondFactor.
const (
	requireOff    = "off"
	requireAdmins = "admins"
	requireAll    = "all"
)

// Values of an account's own rule, which an admin sets.
const (
	factorDefault  = "default"
	factorRequired = "required"
	factorOptional = "optional"
)

// needsSecondFactor reports whether sign-ins to the account require two factors.
func (c Config) needsSecondFactor(u user) bool {
	switch u.SecondFactor {
	case factorRequired:
		return true
	case factorOptional:
		return false
	}
	switch c.RequireSecondFactor {
	case requireAll:
		return true
	case requireAdmins:
		return slices.Contains(u.Roles, subjects.RoleAdmin)
	}
	return false
}

// keptSession returns the session that survives the removal of a second factor: sessionID, or none if the account needs a
// second factor and has no other (left is their number). Then the next sign-in begins with enrolment.
func (c Config) keptSession(u user, left int, sessionID string) string {
	if left == 0 && c.needsSecondFactor(u) {
		return ""
	}
	return sessionID
}
