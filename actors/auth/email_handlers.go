package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) resendVerification(ctx context.Context, req subjects.EmailRequest) (subjects.Accepted, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Accepted{}, err
	}
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		u, err := userByEmail(ctx, tx, email)
		if err != nil && subjects.CodeOf(err) != subjects.CodeNotFound {
			return err
		}
		if err == nil && !u.EmailVerified && !u.Disabled {
			err = a.postVerification(ctx, tx, u.ID, u.Email, forVerification)
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
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := voidLetters(ctx, tx, u.ID, forNewEmail); err != nil {
			return err
		}
		other, err := userByEmail(ctx, tx, email)
		switch {
		case err == nil:
			err = a.post(ctx, tx, letter{UserID: other.ID, Email: email, Purpose: forNotice}, takenText)
		case subjects.CodeOf(err) == subjects.CodeNotFound:
			err = a.postVerification(ctx, tx, u.ID, email, forNewEmail)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, entry{action: auditEmailRequest, outcome: auditSuccess, userID: u.ID})
	})
}

// verifyEmail takes a letter's token. The account keeps its password if only one registration can have given it. With more,
// the owner of the address may have confirmed a stranger's: see takeOver.
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
	if u.Contested {
		return subjects.Empty{}, a.takeOver(ctx, l, u)
	}
	return subjects.Empty{}, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now, err := lockUser(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if now.Contested {
			return subjects.Errorf(subjects.CodeConflict, "the address was registered again at this moment: try once more")
		}
		return a.markVerified(ctx, tx, l, now)
	})
}

// takeOver gives an account that was registered more than once to the owner of its address. Nothing that any of those who
// registered made of it stays, the password neither: a mail leads the owner to a new one.
func (a *Actor) takeOver(ctx context.Context, l letter, u user) error {
	return a.replaceOwner(ctx, u, func(ctx context.Context, tx database.Tx, u user) error {
		u.PasswordHash, u.FirstName, u.LastName, u.AvatarURL = "", "", "", ""
		if err := a.markVerified(ctx, tx, l, u, "password_hash", "epoch", "first_name", "last_name", "avatar_url"); err != nil {
			return err
		}
		token, hash := newLetterToken()
		reset := letter{UserID: u.ID, Email: u.Email, Purpose: forReset, TokenHash: hash}
		return a.post(ctx, tx, reset, contestedText(a.config.ResetURL, token, a.config.TokenTTL))
	})
}

// replaceOwner makes a change by which an account that nobody had verified becomes that of its address's owner. Whoever
// opened it may have laid a trap: its sessions, keys, second factors, identities and mails go.
func (a *Actor) replaceOwner(ctx context.Context, u user, change func(context.Context, database.Tx, user) error) error {
	if err := a.revokeKeyTokens(ctx, u.ID); err != nil {
		return err
	}
	var keys []apiKey
	err := a.replaceSessions(ctx, u, "", endPassword, func(ctx context.Context, tx database.Tx, u user) error {
		var err error
		if keys, err = userAPIKeys(ctx, tx, u.ID, "", maxAPIKeys); err != nil {
			return err
		}
		if err := dropTraps(ctx, tx, u.ID); err != nil {
			return err
		}
		return change(ctx, tx, u)
	})
	if err != nil {
		return err
	}
	return a.revokeKeys(ctx, u.ID, keys)
}

// dropTraps forgets with what somebody could come into an account, or keep its owner out, but for its password.
func dropTraps(ctx context.Context, tx database.Tx, userID string) error {
	for _, drop := range []func(context.Context, database.Tx, string) error{dropUserAPIKeys, dropSecondFactors, dropIdentities} {
		if err := drop(ctx, tx, userID); err != nil {
			return err
		}
	}
	return voidLetters(ctx, tx, userID, forNewEmail)
}

func (a *Actor) markVerified(ctx context.Context, tx database.Tx, l letter, u user, columns ...string) error {
	if u.Email != l.Email {
		return errToken()
	}
	if err := useLetter(ctx, tx, l); err != nil {
		return err
	}
	if err := voidLetters(ctx, tx, u.ID, forVerification); err != nil {
		return err
	}
	u.EmailVerified, u.Contested, u.UpdatedAt = true, false, a.Now().UTC()
	if err := saveUser(ctx, tx, u, append(columns, "email_verified", "contested")...); err != nil {
		return err
	}
	if err := a.audit(ctx, tx, entry{action: auditVerify, outcome: auditSuccess, userID: u.ID}); err != nil {
		return err
	}
	return tell(ctx, a, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"email_verified"}})
}

// moveEmail makes a proved address the account's and tells the old one.
func (a *Actor) moveEmail(ctx context.Context, l letter, u user) error {
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
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
	if database.IsUnique(err) {
		return subjects.Errorf(subjects.CodeConflict, "another account has this address by now")
	}
	return err
}
