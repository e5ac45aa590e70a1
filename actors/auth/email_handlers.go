package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// resendVerification sends another verification message. It does the same work whether or not the address has an
// unverified account.
func (a *Actor) resendVerification(ctx context.Context, req subjects.EmailRequest) (subjects.Accepted, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Accepted{}, err
	}
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		u, err := userByEmail(ctx, tx, email)
		if err != nil && !isNotFound(err) {
			return err
		}
		if err == nil && !u.EmailVerified && !u.Disabled {
			err = a.mailer.sendVerification(ctx, tx, u.ID, u.Email, purposeVerify)
		} else {
			err = a.mailer.sendDecoy(ctx, tx, email, purposeVerify, func(token string) messageText {
				return verificationText(a.config.VerifyURL, token, a.config.TokenTTL)
			})
		}
		if err != nil {
			return err
		}
		return a.recorder.audit(ctx, tx, auditEntry{action: auditVerifyRequest, outcome: auditSuccess, userID: u.ID})
	})
}

// changeEmail sends a verification message to the new address. If the address has a verified account, that account is notified
// instead; the reply is the same. An unverified account does not keep the address from its owner.
func (a *Actor) changeEmail(ctx context.Context, req subjects.ChangeEmailRequest) (subjects.Accepted, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Accepted{}, err
	}
	u, err := a.credentials.stepUp(ctx, "password", req.Password)
	if err == nil {
		err = a.credentials.stepUpCode(ctx, u, req.Code)
	}
	if err != nil {
		return subjects.Accepted{}, err
	}
	return accepted, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if err := voidTokens(ctx, tx, u.ID, purposeChangeEmail); err != nil {
			return err
		}
		other, err := userByEmail(ctx, tx, email)
		switch {
		case err == nil && (other.EmailVerified || other.Disabled || other.ID == u.ID):
			err = a.mailer.send(ctx, tx, message{UserID: other.ID, Email: email, Purpose: purposeNotice}, emailTakenText)
		case err == nil || isNotFound(err):
			err = a.mailer.sendVerification(ctx, tx, u.ID, email, purposeChangeEmail)
		}
		if err != nil {
			return err
		}
		return a.recorder.audit(ctx, tx, auditEntry{action: auditEmailRequest, outcome: auditSuccess, userID: u.ID})
	})
}

// verifyEmail consumes the token of a verification message: it verifies the account's address, or changes it.
func (a *Actor) verifyEmail(ctx context.Context, req subjects.VerifyEmailRequest) (subjects.Empty, error) {
	msg, u, err := a.mailer.findByToken(ctx, req.Token, purposeVerify, purposeChangeEmail)
	if err != nil {
		return subjects.Empty{}, err
	}
	if msg.Purpose == purposeChangeEmail {
		return subjects.Empty{}, a.ownership.changeEmail(ctx, msg, u)
	}
	return subjects.Empty{}, a.ownership.verify(ctx, msg, u)
}
