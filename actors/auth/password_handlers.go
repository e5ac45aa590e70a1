package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
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
			token, hash := newToken()
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
	if err := a.policy.Check(req.Password, u.ownWords()); err != nil {
		return subjects.Empty{}, err
	}
	hash, err := a.hasher.Hash(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	// The caller controls the mailbox. The user who made an account that was not verified before need not: it is replaced.
	use := func(ctx context.Context, tx database.Tx) error { return useToken(ctx, tx, msg) }
	if !u.EmailVerified {
		_, err = a.ownership.takeOver(ctx, u, user{PasswordHash: hash}, auditReset, use, func(ctx context.Context, tx database.Tx, u user) error {
			return a.mailer.notify(ctx, tx, u, noticePassword, passwordChangedText)
		})
		err = tokenError(err)
	} else {
		err = a.ownership.resetVerified(ctx, u, hash, use)
	}
	if err == nil {
		err = a.credentials.unlock(ctx, u.Email)
	}
	return subjects.Empty{}, err
}

func (a *Actor) changePassword(ctx context.Context, req subjects.ChangePasswordRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	u, err := a.credentials.stepUp(ctx, "current_password", req.CurrentPassword)
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.policy.Check(req.Password, u.ownWords()); err != nil {
		return subjects.Empty{}, err
	}
	if req.Password == req.CurrentPassword {
		return subjects.Empty{}, subjects.InvalidField("password", "is the current password")
	}
	if err := a.credentials.stepUpCode(ctx, u, req.Code); err != nil {
		return subjects.Empty{}, err
	}
	hash, err := a.hasher.Hash(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.sessions.changeAccount(ctx, u, caller.SessionID, endPassword,
		func(ctx context.Context, tx database.Tx, u user) error {
			return a.ownership.setPassword(ctx, tx, u, hash, auditPasswordChange)
		})
}
