package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// CreateAdmin creates a verified account with the role admin, or grants the role to the account that has the address.
//
// A verified account keeps its password. An unverified one may have been registered by somebody else, so it is reset to
// the operator's: it gets the password and names of req, and its sessions, API keys and second factors are deleted.
// given reports whether the account now has req's password.
//
// CreateAdmin uses the database alone: weft may run at the same time on PostgreSQL, and must be stopped on SQLite. The
// events are published once weft runs. deps needs DB, Outbox, Sealer, Now and NewID.
func CreateAdmin(ctx context.Context, deps actors.Deps, config Config, req subjects.RegisterRequest) (given bool, err error) {
	u, err := newAdmin(ctx, deps, config, req)
	if err != nil {
		return false, err
	}
	r := &recorder{Deps: deps, retention: config.AuditKept}
	err = deps.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		other, err := addUser(ctx, tx, u)
		if err != nil {
			return err
		}
		given = other == nil || !other.EmailVerified
		if other == nil {
			err = publish(ctx, r, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID})
		} else {
			u, err = promote(ctx, tx, *other, u)
		}
		if err != nil {
			return err
		}
		detail := map[string]string{"by": "weft admin create", "roles": joinRoles(u.Roles)}
		return r.audit(ctx, tx, auditEntry{action: auditAdminister, outcome: auditSuccess, userID: u.ID, detail: detail})
	})
	return given, err
}

// newAdmin returns the account that CreateAdmin adds, with its password hashed.
func newAdmin(ctx context.Context, deps actors.Deps, config Config, req subjects.RegisterRequest) (user, error) {
	if err := config.Check(); err != nil {
		return user{}, err
	}
	policy, err := newPasswordPolicy(config.PasswordMin, config.PasswordMax, config.PasswordBlocklist)
	if err != nil {
		return user{}, err
	}
	own, err := loadSecrets(ctx, deps)
	if err != nil {
		return user{}, err
	}
	u, err := newUser(req)
	if err != nil {
		return user{}, err
	}
	if err := policy.check(req.Password, u); err != nil {
		return user{}, err
	}
	if u.PasswordHash, err = newPasswordHasher(config, own.pepper).hash(ctx, req.Password); err != nil {
		return user{}, err
	}
	u.ID, u.CreatedAt, u.EmailVerified = deps.NewID(), deps.Now().UTC(), true
	u.UpdatedAt, u.Roles = u.CreatedAt, []string{subjects.RoleUser, subjects.RoleAdmin}
	return u, nil
}

// promote grants u the role admin. If u is unverified, it also gets the operator's password and names, and loses its
// other credentials.
func promote(ctx context.Context, tx database.Tx, u, operators user) (user, error) {
	u.Roles, u.UpdatedAt = operators.Roles, operators.UpdatedAt
	if u.EmailVerified {
		return u, saveUser(ctx, tx, u, "roles")
	}
	if err := deleteCredentials(ctx, tx, u.ID); err != nil {
		return u, err
	}
	u.EmailVerified, u.DuplicateRegistration, u.PasswordHash = true, false, operators.PasswordHash
	u.FirstName, u.LastName, u.AvatarURL = operators.FirstName, operators.LastName, ""
	u.Epoch++ // ends the sessions
	return u, saveUser(ctx, tx, u, "roles", "email_verified", "contested", "password_hash", "first_name", "last_name", "avatar_url", "epoch")
}
