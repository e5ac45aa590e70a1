package auth

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) listUsers(ctx context.Context, req subjects.ListUsersRequest) (subjects.Page[subjects.UserAccount], error) {
	after, err := idCursor(req.Cursor)
	if err != nil {
		return subjects.Page[subjects.UserAccount]{}, err
	}
	users, err := listUsers(ctx, a.DB.DB, strings.ToLower(req.Email), after, req.PageLimit()+1)
	return pageOf(users, req.PageLimit(), user.account, func(u user) string {
		if req.Email != "" {
			return u.Email // the order is by address
		}
		return u.ID
	}), err
}

func (a *Actor) getUser(ctx context.Context, req subjects.GetUserRequest) (subjects.UserAccount, error) {
	u, err := userByID(ctx, a.DB.DB, req.UserID)
	if err != nil {
		return subjects.UserAccount{}, err
	}
	return u.account(), nil
}

// updateUser changes an account. A change that takes rights away ends the account's sessions before it returns. While an account
// is disabled it is blocked: nothing starts for it in any process, and its API keys and their access tokens are refused. They
// work again as soon as a call that enables the account has returned.
func (a *Actor) updateUser(ctx context.Context, req subjects.UpdateUserRequest) (subjects.UserAccount, error) {
	before, err := userByID(ctx, a.DB.DB, req.UserID)
	if err != nil {
		return subjects.UserAccount{}, err
	}
	if _, less := before.withUpdate(req); less {
		err = a.restrictUser(ctx, before, req)
	} else {
		_, err = idempotency.Step(ctx, a.DB, "change", func(ctx context.Context, tx database.Tx) (struct{}, error) {
			u, err := lockUser(ctx, tx, before.ID)
			if err != nil {
				return struct{}{}, err
			}
			if _, less := u.withUpdate(req); less {
				return struct{}{}, subjects.Errorf(subjects.CodeConflict, "the account was changed concurrently; retry")
			}
			return struct{}{}, a.saveUserUpdate(ctx, tx, u, req)
		})
		if err == nil { // also if it was not disabled: an earlier call may not have come this far
			err = a.blocks.release(ctx, before.ID)
		}
	}
	if err != nil {
		return subjects.UserAccount{}, err
	}
	after, err := userByID(ctx, a.DB.DB, req.UserID)
	return after.account(), err
}

// restrictUser makes a change that takes rights away. That an admin remains is checked before any session ends, and
// again in the transaction of the change.
func (a *Actor) restrictUser(ctx context.Context, before user, req subjects.UpdateUserRequest) error {
	if err := req.Check(before.tag()); err != nil {
		return err
	}
	after, _ := before.withUpdate(req)
	others, err := countOtherAdmins(ctx, a.DB.DB, before.ID)
	if err != nil {
		return err
	}
	if err := requireAnotherAdmin(before, after, others); err != nil {
		return err
	}
	// A disabled account is blocked before and after the change: in between, another call may have enabled it and removed the
	// block.
	if after.Disabled {
		if err := a.blocks.block(ctx, before.ID); err != nil {
			return err
		}
	}
	err = a.sessions.changeAccount(ctx, before, "", endDisabled, func(ctx context.Context, tx database.Tx, u user) error {
		after, _ := u.withUpdate(req)
		others, err := lockOtherAdmins(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if err := requireAnotherAdmin(u, after, others); err != nil {
			return err
		}
		return a.saveUserUpdate(ctx, tx, u, req)
	})
	if err != nil || !after.Disabled {
		a.blocks.releaseAfter(ctx, before.ID)
		return err
	}
	return a.blocks.block(ctx, before.ID)
}

func (a *Actor) saveUserUpdate(ctx context.Context, tx database.Tx, u user, req subjects.UpdateUserRequest) error {
	if err := req.Check(u.tag()); err != nil {
		return err
	}
	after, _ := u.withUpdate(req)
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
	if err := a.recorder.audit(ctx, tx, auditEntry{action: auditAdminister, outcome: auditSuccess, userID: u.ID, detail: detail}); err != nil {
		return err
	}
	return publish(ctx, a.recorder, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: fields})
}

// endUserSessions ends all sessions of an account. The account's next epoch also invalidates sign-ins that wait for a
// second factor.
func (a *Actor) endUserSessions(ctx context.Context, req subjects.GetUserRequest) (subjects.Empty, error) {
	u, err := userByID(ctx, a.DB.DB, req.UserID)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.sessions.changeAccount(ctx, u, "", endAdmin, func(ctx context.Context, tx database.Tx, u user) error {
		if err := saveUser(ctx, tx, u, "epoch"); err != nil {
			return err
		}
		detail := map[string]string{"by": actors.CallerFrom(ctx).UserID}
		return a.recorder.audit(ctx, tx, auditEntry{action: auditEndSessions, outcome: auditSuccess, userID: u.ID, detail: detail})
	})
}

// endAllSessions ends the sessions of all users. One entry revokes the access tokens issued up to now; the accounts'
// next epoch invalidates the refresh tokens. The access tokens are revoked before the change and again after it, for
// sign-ins in between. A background sweep deletes the sessions and records their ends.
func (a *Actor) endAllSessions(ctx context.Context, _ subjects.Empty) (subjects.Empty, error) {
	if err := a.sessions.revokeAll(ctx); err != nil {
		return subjects.Empty{}, err
	}
	_, err := idempotency.Step(ctx, a.DB, "change", func(ctx context.Context, tx database.Tx) (struct{}, error) {
		if err := incrementEpochs(ctx, tx, a.Now()); err != nil {
			return struct{}{}, err
		}
		by := actors.CallerFrom(ctx)
		return struct{}{}, a.recorder.audit(ctx, tx, auditEntry{
			action: auditEndAll, outcome: auditSuccess, userID: by.UserID, sessionID: by.SessionID,
		})
	})
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.sessions.revokeAll(ctx); err != nil {
		return subjects.Empty{}, err
	}
	a.sessions.requestSweep()
	return subjects.Empty{}, nil
}
