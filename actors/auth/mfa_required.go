package auth

import (
	"context"
	"slices"

	"github.com/weftmesh/weft/subjects"
)

// Who needs a second factor (Config.RequireSecondFactor).
const (
	requireOff    = "off"
	requireAdmins = "admins"
	requireAll    = "all"
)

// An account's own rule, which an admin sets.
const (
	factorDefault  = "default"
	factorRequired = "required"
	factorOptional = "optional"
)

// needsFactor tells whether the account must be signed in to with two factors.
func (a *Actor) needsFactor(u user) bool {
	switch u.SecondFactor {
	case factorRequired:
		return true
	case factorOptional:
		return false
	}
	switch a.config.RequireSecondFactor {
	case requireAll:
		return true
	case requireAdmins:
		return slices.Contains(u.Roles, subjects.RoleAdmin)
	}
	return false
}

// mustEnroll tells whether a session may do no more than set up a second factor: the account needs one, and the session
// was not opened with two. Where the account has a passkey nothing is set up by who did not use it: whoever has the
// password alone would add a factor of their own. (With an authenticator no sign-in ends without its code.)
func (a *Actor) mustEnroll(ctx context.Context, u user, twoFactors bool) (bool, error) {
	if twoFactors || !a.needsFactor(u) {
		return false, nil
	}
	passkeys, err := a.activePasskeys(ctx, u.ID)
	if err == nil && passkeys > 0 {
		err = subjects.Errorf(subjects.CodeForbidden, "this account needs two factors: sign in with your passkey")
	}
	return err == nil, err
}

func (a *Actor) activePasskeys(ctx context.Context, userID string) (int, error) {
	list, err := userPasskeys(ctx, a.DB.DB, userID, "", maxPasskeys)
	list = slices.DeleteFunc(list, func(p passkey) bool { return p.Suspended })
	return len(list), err
}

// keptWithout is the session that may go on when the account has so many ways left to give a second factor: none, where
// it needs one, so that the next session begins with setting one up.
func (a *Actor) keptWithout(u user, left int, sessionID string) string {
	if left == 0 && a.needsFactor(u) {
		return ""
	}
	return sessionID
}

// enrolled notes that a session's user has proved a second factor: from its next refresh on it reaches everything.
func (a *Actor) enrolled(ctx context.Context, userID, sessionID string) error {
	return a.changeSession(ctx, userID, sessionID, func(s *session) { s.TwoFactors = true })
}
