package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/password"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// CreateAdmin creates a verified account with the role admin, or grants the role to the account that has the address.
//
// A verified account keeps its password. An unverified one may have been registered by somebody else, so it is replaced by a
// new account with the password and names of req, which can sign in once every actor has erased the old one. given reports
// whether the account now has req's password.
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
		if other != nil {
			if u, err = promote(ctx, tx, r, *other, u); err != nil {
				return err
			}
		}
		if given {
			if err := publish(ctx, r, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID}); err != nil {
				return err
			}
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
	policy, err := password.NewPolicy(config.PasswordMin, config.PasswordMax, config.PasswordBlocklist)
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
	if err := policy.Check(req.Password, u.ownWords()); err != nil {
		return user{}, err
	}
	if u.PasswordHash, err = password.NewHasher(config.hashWorkers(), config.HashQueue, config.BcryptCost, own.pepper).Hash(ctx, req.Password); err != nil {
		return user{}, err
	}
	u.ID, u.CreatedAt, u.EmailVerified = deps.NewID(), deps.Now().UTC(), true
	u.UpdatedAt, u.Roles = u.CreatedAt, []string{subjects.RoleUser, subjects.RoleAdmin}
	return u, nil
}

// promote grants the role admin to the account that has the address. An unverified account is deleted as by delete_account,
// and u is added in its place: it can sign in once weft runs and every actor has erased the old account.
func promote(ctx context.Context, tx database.Tx, r *recorder, other, u user) (user, error) {
	if other.EmailVerified {
		other.Roles, other.UpdatedAt = u.Roles, u.UpdatedAt
		return other, saveUser(ctx, tx, other, "roles")
	}
	e := &erasures{Deps: r.Deps, recorder: r}
	done, err := e.begin(ctx, tx, other)
	if err != nil {
		return u, err
	}
	u = successor(u, u.Email, done.ErasureID, u.ID, u.CreatedAt)
	_, err = addUser(ctx, tx, u)
	return u, err
}
