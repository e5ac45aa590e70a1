package auth

import (
	"slices"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

func (u user) account() subjects.UserAccount {
	return subjects.UserAccount{
		Profile: u.profile(), Disabled: u.Disabled, UpdatedAt: u.UpdatedAt, SecondFactor: u.SecondFactor,
	}
}

// isAdmin reports whether the account can act as an admin.
func (u user) isAdmin() bool { return !u.Disabled && slices.Contains(u.Roles, subjects.RoleAdmin) }

// withUpdate returns the account after an admin's update. less reports whether the update takes rights away.
func (u user) withUpdate(req subjects.UpdateUserRequest) (after user, less bool) {
	after = u
	if req.Roles != nil {
		after.Roles = []string{subjects.RoleUser}
		if slices.Contains(req.Roles, subjects.RoleAdmin) {
			after.Roles = append(after.Roles, subjects.RoleAdmin)
		}
	}
	if req.Disabled != nil {
		after.Disabled = *req.Disabled
	}
	if req.SecondFactor != "" {
		after.SecondFactor = req.SecondFactor
	}
	stricter := after.SecondFactor != u.SecondFactor && after.SecondFactor != factorOptional
	lost := func(role string) bool { return !slices.Contains(after.Roles, role) }
	return after, after.Disabled && !u.Disabled || stricter || slices.ContainsFunc(u.Roles, lost)
}

// requireAnotherAdmin returns CodeConflict if the change would leave no enabled admin. others is the number of other
// admins.
func requireAnotherAdmin(before, after user, others int64) error {
	if before.isAdmin() && !after.isAdmin() && others == 0 {
		return subjects.Errorf(subjects.CodeConflict, "the account is the last admin")
	}
	return nil
}

func joinRoles(roles []string) string { return strings.Join(roles, " ") }
