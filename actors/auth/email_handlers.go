package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) resendVerification(ctx context.Context, req subjects.EmailRequest) (subjects.Accepted, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Accepted{}, err
	}
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		u, err := userByEmail(ctx, tx, email)
		if err != nil && subjects.CodeOf(err) != subjects.CodeNotFound {
			return err
		}
		if err == nil && !u.EmailVerified && !u.Disabled {
			err = a.postVerification(ctx, tx, u.ID, u.Email, forVerification, "")
		} else {
			err = a.postNothing(ctx, tx, email, forVerification, func(token string) text {
				return verificationText(a.config.VerifyURL, token, a.config.TokenTTL)
			})
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, entry{action: auditVerifyRequest, outcome: auditSuccess, userID: u.ID})
	})
}

// changeEmail asks the new address to prove itself; a taken one is told instead, and the caller learns nothing.
func (a *Actor) changeEmail(ctx context.Context, req subjects.ChangeEmailRequest) (subjects.Accepted, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Accepted{}, err
	}
	u, err := a.stepUp(ctx, "password", req.Password)
	if err == nil {
		err = a.stepUpCode(ctx, u, req.Code)
	}
	if err != nil {
		return subjects.Accepted{}, err
	}
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		other, err := userByEmail(ctx, tx, email)
		switch {
		case err == nil:
			err = a.post(ctx, tx, letter{UserID: other.ID, Email: email, Purpose: forNotice}, takenText)
		case subjects.CodeOf(err) == subjects.CodeNotFound:
			if err = voidLetters(ctx, tx, u.ID, forNewEmail); err == nil {
				err = a.postVerification(ctx, tx, u.ID, email, forNewEmail, "")
			}
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, entry{action: auditEmailRequest, outcome: auditSuccess, userID: u.ID})
	})
}

// verifyEmail takes a letter's token. Which registration was verified decides whose password is in force: an
// account opened by a stranger with somebody's address becomes that somebody's, without the stranger's sessions.
func (a *Actor) verifyEmail(ctx context.Context, req subjects.VerifyEmailRequest) (subjects.Empty, error) {
	l, u, err := a.goodLetter(ctx, req.Token, forVerification, forNewEmail)
	if err != nil {
		return subjects.Empty{}, err
	}
	if l.Purpose == forNewEmail {
		return subjects.Empty{}, a.moveEmail(ctx, l, u)
	}
	if u.Email != l.Email || u.EmailVerified {
		return subjects.Empty{}, errToken()
	}
	if l.PasswordHash != "" && l.PasswordHash != u.PasswordHash {
		return subjects.Empty{}, a.takeOver(ctx, l, u)
	}
	return subjects.Empty{}, a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		now, err := lockUser(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		return a.markVerified(ctx, tx, l, now)
	})
}

// takeOver gives an unverified account to the registration that was verified: nothing that another made of it stays.
func (a *Actor) takeOver(ctx context.Context, l letter, u user) error {
	if err := a.revokeKeyTokens(ctx, u.ID); err != nil {
		return err
	}
	return a.replaceSessions(ctx, u, "", endPassword, func(ctx context.Context, tx actors.Tx, u user) error {
		if err := dropUserAPIKeys(ctx, tx, u.ID); err != nil {
			return err
		}
		if err := dropSecondFactors(ctx, tx, u.ID); err != nil {
			return err
		}
		u.PasswordHash = l.PasswordHash
		return a.markVerified(ctx, tx, l, u, "password_hash", "epoch")
	})
}

func (a *Actor) markVerified(ctx context.Context, tx actors.Tx, l letter, u user, columns ...string) error {
	if u.Email != l.Email {
		return errToken()
	}
	if err := useLetter(ctx, tx, l); err != nil {
		return err
	}
	if err := voidLetters(ctx, tx, u.ID, forVerification); err != nil {
		return err
	}
	u.EmailVerified, u.UpdatedAt = true, a.Now().UTC()
	if err := saveUser(ctx, tx, u, append(columns, "email_verified")...); err != nil {
		return err
	}
	if err := a.audit(ctx, tx, entry{action: auditVerify, outcome: auditSuccess, userID: u.ID}); err != nil {
		return err
	}
	return tell(ctx, a, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"email_verified"}})
}

// moveEmail makes a proved address the account's and tells the old one.
func (a *Actor) moveEmail(ctx context.Context, l letter, u user) error {
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx actors.Tx) error {
		now, err := lockUser(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if err := useLetter(ctx, tx, l); err != nil {
			return err
		}
		old := now.Email
		now.Email, now.EmailVerified, now.UpdatedAt = l.Email, true, a.Now().UTC()
		if err := saveUser(ctx, tx, now, "email", "email_verified"); err != nil {
			return err
		}
		if err := voidLetters(ctx, tx, now.ID, forReset, forVerification, forNewEmail); err != nil {
			return err
		}
		if err := a.post(ctx, tx, letter{UserID: now.ID, Email: old, Purpose: forNotice}, movedText(l.Email)); err != nil {
			return err
		}
		if err := a.audit(ctx, tx, entry{action: auditEmailChange, outcome: auditSuccess, userID: now.ID}); err != nil {
			return err
		}
		told := subjects.UserUpdated{UserID: now.ID, Fields: []string{"email", "email_verified"}}
		return tell(ctx, a, tx, subjects.UserUpdatedEvent, now.ID, told)
	})
	if actors.IsUnique(err) {
		return subjects.Errorf(subjects.CodeConflict, "another account has this address by now")
	}
	return err
}
