package auth

import (
	"context"
	"slices"
	"strconv"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) listUsers(ctx context.Context, req subjects.ListUsersRequest) (subjects.Page[subjects.UserAccount], error) {
	page := subjects.Page[subjects.UserAccount]{Items: []subjects.UserAccount{}}
	users, err := listUsers(ctx, a.DB.DB, req.Email, req.Cursor, req.PageLimit()+1)
	if err != nil {
		return page, err
	}
	if len(users) > req.PageLimit() {
		users = users[:req.PageLimit()]
		page.NextCursor = users[len(users)-1].ID
	}
	for _, u := range users {
		page.Items = append(page.Items, u.account())
	}
	return page, nil
}

func (a *Actor) getUser(ctx context.Context, req subjects.GetUserRequest) (subjects.UserAccount, error) {
	u, err := userByID(ctx, a.DB.DB, req.UserID)
	if err != nil {
		return subjects.UserAccount{}, err
	}
	return u.account(), nil
}

// updateUser changes an account. What takes rights away ends the account's sessions, and what its API keys were
// exchanged for, before it answers.
func (a *Actor) updateUser(ctx context.Context, req subjects.UpdateUserRequest) (subjects.UserAccount, error) {
	before, err := userByID(ctx, a.DB.DB, req.UserID)
	if err != nil {
		return subjects.UserAccount{}, err
	}
	if _, less := before.administered(req); less {
		err = a.takeRights(ctx, before, req)
	} else {
		err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			u, err := lockUser(ctx, tx, before.ID)
			if err != nil {
				return err
			}
			if _, less := u.administered(req); less {
				return subjects.Errorf(subjects.CodeConflict, "the account was changed at the same time")
			}
			return a.administer(ctx, tx, u, req)
		})
	}
	if err != nil {
		return subjects.UserAccount{}, err
	}
	after, err := userByID(ctx, a.DB.DB, req.UserID)
	return after.account(), err
}

// takeRights makes a change that takes something from an account. Whether an admin is left is asked before anybody
// is signed out, and again where it counts, in the change's transaction.
func (a *Actor) takeRights(ctx context.Context, before user, req subjects.UpdateUserRequest) error {
	after, _ := before.administered(req)
	others, err := countOtherAdmins(ctx, a.DB.DB, before.ID)
	if err != nil {
		return err
	}
	if err := lastAdmin(before, after, others); err != nil {
		return err
	}
	// With the sessions end the tokens that API keys were exchanged for, before the change and after it as those do.
	// A key of an account that is enabled again works once the tokens that it had would have ended.
	if after.Disabled {
		if err := a.revokeKeyTokens(ctx, before.ID); err != nil {
			return err
		}
	}
	err = a.replaceSessions(ctx, before, "", endDisabled, func(ctx context.Context, tx database.Tx, u user) error {
		after, _ := u.administered(req)
		others, err := lockOtherAdmins(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if err := lastAdmin(u, after, others); err != nil {
			return err
		}
		return a.administer(ctx, tx, u, req)
	})
	if err != nil || !after.Disabled {
		return err
	}
	return a.revokeKeyTokens(ctx, before.ID)
}

func (a *Actor) administer(ctx context.Context, tx database.Tx, u user, req subjects.UpdateUserRequest) error {
	after, _ := u.administered(req)
	after.UpdatedAt = a.Now().UTC()
	if err := saveUser(ctx, tx, after, "roles", "disabled", "second_factor", "epoch"); err != nil {
		return err
	}
	detail := map[string]string{"by": actors.CallerFrom(ctx).UserID}
	var fields []string
	if u.Disabled != after.Disabled {
		fields = append(fields, "disabled")
		detail["disabled"] = strconv.FormatBool(after.Disabled)
	}
	if !slices.Equal(u.Roles, after.Roles) {
		fields = append(fields, "roles")
		detail["roles"] = joinRoles(after.Roles)
	}
	if u.SecondFactor != after.SecondFactor {
		fields = append(fields, "second_factor")
		detail["second_factor"] = after.SecondFactor
	}
	if len(fields) == 0 {
		return nil
	}
	if err := a.audit(ctx, tx, entry{action: auditAdminister, outcome: auditSuccess, userID: u.ID, detail: detail}); err != nil {
		return err
	}
	return tell(ctx, a, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: fields})
}

// CreateAdmin opens a verified account with the role admin, or gives an account that has the address the role. A verified
// account's password then stays; one that nobody had verified, which anybody may have opened, becomes the operator's: its
// password is req's, and sessions, API keys and second factors go. given tells whether it has the password of req. It works
// on the database alone, beside a running weft on PostgreSQL or a stopped one on SQLite; what it has to tell is published
// once weft runs. deps needs DB, Outbox, Sealer, Now and NewID.
func CreateAdmin(ctx context.Context, deps actors.Deps, config Config, req subjects.RegisterRequest) (given bool, err error) {
	if err := config.Check(); err != nil {
		return false, err
	}
	a := &Actor{Deps: deps, config: config}
	if a.policy, err = newPolicy(config.PasswordMin, config.PasswordMax, config.PasswordBlocklist); err != nil {
		return false, err
	}
	if err := a.openSecrets(ctx); err != nil {
		return false, err
	}
	u, err := newUser(req)
	if err != nil {
		return false, err
	}
	if err := a.policy.check(req.Password, u); err != nil {
		return false, err
	}
	if u.PasswordHash, err = a.passwords.hash(ctx, req.Password); err != nil {
		return false, err
	}
	u.ID, u.CreatedAt, u.EmailVerified = a.NewID(), a.Now().UTC(), true
	u.UpdatedAt, u.Roles = u.CreatedAt, []string{subjects.RoleUser, subjects.RoleAdmin}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		other, err := addUser(ctx, tx, u)
		if err != nil {
			return err
		}
		given = other == nil || !other.EmailVerified
		if other == nil {
			err = tell(ctx, a, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID})
		} else {
			u, err = promote(ctx, tx, *other, u)
		}
		if err != nil {
			return err
		}
		detail := map[string]string{"by": "weft admin create", "roles": joinRoles(u.Roles)}
		return a.audit(ctx, tx, entry{action: auditAdminister, outcome: auditSuccess, userID: u.ID, detail: detail})
	})
	return given, err
}

// promote gives an account the role admin, and one that nobody had verified the operator's password and names.
func promote(ctx context.Context, tx database.Tx, u, operators user) (user, error) {
	u.Roles, u.UpdatedAt = operators.Roles, operators.UpdatedAt
	if u.EmailVerified {
		return u, saveUser(ctx, tx, u, "roles")
	}
	if err := dropTraps(ctx, tx, u.ID); err != nil {
		return u, err
	}
	u.EmailVerified, u.Contested, u.PasswordHash = true, false, operators.PasswordHash
	u.FirstName, u.LastName, u.AvatarURL = operators.FirstName, operators.LastName, ""
	u.Epoch++ // which ends the sessions
	return u, saveUser(ctx, tx, u, "roles", "email_verified", "contested", "password_hash", "first_name", "last_name", "avatar_url", "epoch")
}
