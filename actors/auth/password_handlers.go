package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/subjects"
)

var accepted = subjects.Accepted{Status: "accepted"}

// requestPasswordReset does its work in one transaction, whether there is an account or not.
func (a *Actor) requestPasswordReset(ctx context.Context, req subjects.EmailRequest) (subjects.Accepted, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Accepted{}, err
	}
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		u, err := userByEmail(ctx, tx, email)
		if err != nil && subjects.CodeOf(err) != subjects.CodeNotFound {
			return err
		}
		if err == nil && !u.Disabled {
			token, hash := newLetterToken()
			l := letter{UserID: u.ID, Email: u.Email, Purpose: forReset, TokenHash: hash}
			err = a.post(ctx, tx, l, resetText(a.config.ResetURL, token, a.config.TokenTTL))
		} else {
			err = a.postNothing(ctx, tx, email, forReset, func(token string) text {
				return resetText(a.config.ResetURL, token, a.config.TokenTTL)
			})
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, entry{action: auditResetRequest, outcome: auditSuccess, userID: u.ID})
	})
}

func (a *Actor) resetPassword(ctx context.Context, req subjects.ResetPasswordRequest) (subjects.Empty, error) {
	l, u, err := a.goodLetter(ctx, req.Token, forReset)
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.policy.check(req.Password, u); err != nil {
		return subjects.Empty{}, err
	}
	hash, err := a.passwords.hash(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	// Who reads the mailbox has proved that it is theirs, and where nobody had before, that the account is.
	set := func(ctx context.Context, tx database.Tx, u user) error {
		if err := useLetter(ctx, tx, l); err != nil {
			return err
		}
		u.EmailVerified, u.Contested = true, false
		return a.setPassword(ctx, tx, u, hash, auditReset, "email_verified", "contested")
	}
	if !u.EmailVerified {
		return subjects.Empty{}, a.replaceOwner(ctx, u, set)
	}
	return subjects.Empty{}, a.replaceSessions(ctx, u, "", endPassword, set)
}

func (a *Actor) changePassword(ctx context.Context, req subjects.ChangePasswordRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	u, err := a.stepUp(ctx, "current_password", req.CurrentPassword)
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.policy.check(req.Password, u); err != nil {
		return subjects.Empty{}, err
	}
	if req.Password == req.CurrentPassword {
		return subjects.Empty{}, subjects.InvalidField("password", "is the one you have")
	}
	if err := a.stepUpCode(ctx, u, req.Code); err != nil {
		return subjects.Empty{}, err
	}
	hash, err := a.passwords.hash(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.replaceSessions(ctx, u, caller.SessionID, endPassword,
		func(ctx context.Context, tx database.Tx, u user) error {
			return a.setPassword(ctx, tx, u, hash, auditPasswordChange)
		})
}

// setPassword saves an account's new password besides other columns, and tells the user.
func (a *Actor) setPassword(ctx context.Context, tx database.Tx, u user, hash, action string, columns ...string) error {
	u.PasswordHash = hash
	if err := saveUser(ctx, tx, u, append(columns, "password_hash", "epoch")...); err != nil {
		return err
	}
	if err := voidLetters(ctx, tx, u.ID, forReset, forNewEmail); err != nil {
		return err
	}
	if err := a.notify(ctx, tx, u, passwordText); err != nil {
		return err
	}
	return a.audit(ctx, tx, entry{action: action, outcome: auditSuccess, userID: u.ID})
}

// stepUp has the caller prove with their password that it is they who act. Wrong ones count by source, as login's do,
// and for the account as a whole; but apart from login's, which strangers can use up.
func (a *Actor) stepUp(ctx context.Context, field, password string) (user, error) {
	caller := actors.CallerFrom(ctx)
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return user{}, err
	}
	opened, ok, lockedNow, err := a.tryPassword(ctx, u.Email, password, counted{
		one: "session:" + source(caller.Origin.IP), whole: "session:" + u.Email,
	})
	if err != nil {
		return user{}, err
	}
	if !ok || opened.ID != u.ID {
		if err := a.recordFailure(ctx, auditStepUp, u.ID, lockedNow); err != nil {
			return user{}, err
		}
		return user{}, subjects.InvalidField(field, "is not the password of this account")
	}
	return opened, nil
}

// stepUpCode has the caller prove themselves by their authenticator too, where one is on. Wrong codes count by session, so
// that who has stolen one gets no more tries by coming from elsewhere, and takes none from the owner's.
func (a *Actor) stepUpCode(ctx context.Context, u user, code string) error {
	factor, err := totpOf(ctx, a.DB.DB, u.ID)
	if err != nil || factor == nil || !factor.Confirmed {
		return err
	}
	if code == "" {
		return subjects.InvalidField("code", "is missing: an authenticator is on")
	}
	good, err := a.secondFactor(ctx, u, code, "session:"+actors.CallerFrom(ctx).SessionID)
	if err == nil && !good {
		err = subjects.InvalidField("code", "is not good")
	}
	return err
}

// replaceSessions makes a change to an account that ends its sessions, but for one that is kept. They end before
// the change is made, so that a crash leaves nobody signed in under what is no more; and again after it, for who
// signed in between. The account that change gets has its next epoch, for change to save.
func (a *Actor) replaceSessions(
	ctx context.Context, u user, keep, reason string, change func(context.Context, database.Tx, user) error,
) error {
	if err := a.endAllSessions(ctx, u.ID, keep, reason); err != nil {
		return err
	}
	if keep != "" {
		if err := a.carryOver(ctx, u, keep); err != nil {
			return err
		}
	}
	_, err := idempotency.Step(ctx, a.DB, "change", func(ctx context.Context, tx database.Tx) (struct{}, error) {
		now, err := lockUser(ctx, tx, u.ID)
		if err != nil {
			return struct{}{}, err
		}
		now.Epoch++
		now.UpdatedAt = a.Now().UTC()
		return struct{}{}, change(ctx, tx, now)
	})
	if err != nil {
		return err
	}
	return a.endAllSessions(ctx, u.ID, keep, reason)
}
