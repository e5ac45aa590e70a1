package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

var accepted = subjects.Accepted{Status: "accepted"}

// requestPasswordReset sends a message with a reset token. It does the same work, in one transaction, whether or not
// there is an account.
func (a *Actor) requestPasswordReset(ctx context.Context, req subjects.EmailRequest) (subjects.Accepted, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Accepted{}, err
	}
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		u, err := userByEmail(ctx, tx, email)
		if err != nil && !isNotFound(err) {
			return err
		}
		if err == nil && !u.Disabled {
			token, hash := newPasskeyDevice()
			msg := message{UserID: u.ID, Email: u.Email, Purpose: purposeReset, TokenHash: hash}
			err = a.mailer.send(ctx, tx, msg, resetText(a.config.ResetURL, token, a.config.TokenTTL))
		} else {
			err = a.mailer.sendDecoy(ctx, tx, email, purposeReset, func(token string) messageText {
				return resetText(a.config.ResetURL, token, a.config.TokenTTL)
			})
		}
		if err != nil {
			return err
		}
		return a.recorder.audit(ctx, tx, auditEntry{action: auditResetRequest, outcome: auditSuccess, userID: u.ID})
	})
}

func (a *Actor) resetPassword(ctx context.Context, req subjects.ResetPasswordRequest) (subjects.Empty, error) {
	msg, u, err := a.mailer.findByToken(ctx, req.Token, purposeReset)
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.policy.check(req.Password, u); err != nil {
		return subjects.Empty{}, err
	}
	hash, err := a.hasher.hash(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	// The caller controls the mailbox, so the address is verified; an account that was not verified before becomes the
	// caller's.
	set := func(ctx context.Context, tx database.Tx, u user) error {
		if err := useToken(ctx, tx, msg); err != nil {
			return err
		}
		u.EmailVerified, u.DuplicateRegistration = true, false
		return a.setPassword(ctx, tx, u, hash, auditReset, "email_verified", "contested")
	}
	if !u.EmailVerified {
		return subjects.Empty{}, a.ownership.replaceOwner(ctx, u, set)
	}
	return subjects.Empty{}, a.sessions.changeAccount(ctx, u, "", endPassword, set)
}

func (a *Actor) changePassword(ctx context.Context, req subjects.ChangePasswordRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	u, err := a.credentials.stepUp(ctx, "current_password", req.CurrentPassword)
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.policy.check(req.Password, u); err != nil {
		return subjects.Empty{}, err
	}
	if req.Password == req.CurrentPassword {
		return subjects.Empty{}, subjects.InvalidField("password", "is the current password")
	}
	if err := a.credentials.stepUpCode(ctx, u, req.Code); err != nil {
		return subjects.Empty{}, err
	}
	hash, err := a.hasher.hash(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.sessions.changeAccount(ctx, u, caller.SessionID, endPassword,
		func(ctx context.Context, tx database.Tx, u user) error {
			return a.setPassword(ctx, tx, u, hash, auditPasswordChange)
		})
}

// setPassword saves an account's new password with further columns, and notifies the user.
func (a *Actor) setPassword(ctx context.Context, tx database.Tx, u user, hash, action string, columns ...string) error {
	u.PasswordHash = hash
	if err := saveUser(ctx, tx, u, append(columns, "password_hash", "epoch")...); err != nil {
		return err
	}
	if err := voidTokens(ctx, tx, u.ID, purposeReset, purposeChangeEmail); err != nil {
		return err
	}
	if err := a.mailer.notify(ctx, tx, u, passwordChangedText); err != nil {
		return err
	}
	return a.recorder.audit(ctx, tx, auditEntry{action: action, outcome: auditSuccess, userID: u.ID})
}
