package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

func totpContext(userID string) []byte { return []byte("totp/" + userID) }

func (a *Actor) verifyMFA(ctx context.Context, req subjects.VerifyMFARequest) (subjects.Session, error) {
	res, err := a.finishLogin(ctx, req)
	a.metrics.login(res, err)
	return res, err
}

func (a *Actor) finishLogin(ctx context.Context, req subjects.VerifyMFARequest) (subjects.Session, error) {
	pending, ok := openPending(a.Sealer, req.MFAToken, a.Now())
	if !ok {
		return subjects.Session{}, errMFA()
	}
	u, err := userByID(ctx, a.DB.DB, pending.UserID)
	if isNotFound(err) || err == nil && (u.Disabled || u.Epoch != pending.Epoch) {
		return subjects.Session{}, errMFA()
	}
	if err != nil {
		return subjects.Session{}, err
	}
	good, err := a.credentials.verifyCode(ctx, u, req.Code, a.devices.limiterKey(u.ID, req.DeviceToken))
	if err != nil {
		return subjects.Session{}, err
	}
	if !good {
		return subjects.Session{}, errMFA()
	}
	return a.sessions.start(ctx, u, signIn{method: byPasswordTOTP, twoFactors: true, replaces: pending.Replaces})
}

func (a *Actor) enrollTOTP(ctx context.Context, req subjects.EnrollTOTPRequest) (subjects.TOTPEnrollment, error) {
	u, err := a.credentials.confirmOwner(ctx, req.Password)
	if err != nil {
		return subjects.TOTPEnrollment{}, err
	}
	secret, url, err := newTOTP(u.Email)
	if err != nil {
		return subjects.TOTPEnrollment{}, err
	}
	sealed, err := a.Sealer.Seal([]byte(secret), totpContext(u.ID))
	if err != nil {
		return subjects.TOTPEnrollment{}, err
	}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		set, err := upsertTOTP(ctx, tx, totpRow{UserID: u.ID, Sealed: sealed, CreatedAt: a.Now().UnixMicro()})
		if err == nil && !set {
			err = subjects.Errorf(subjects.CodeConflict, "the account has an authenticator; disable it first")
		}
		if err != nil {
			return err
		}
		return a.recorder.audit(ctx, tx, auditEntry{action: auditMFAEnroll, outcome: auditSuccess, userID: u.ID})
	})
	if err != nil {
		return subjects.TOTPEnrollment{}, err
	}
	return subjects.TOTPEnrollment{Secret: secret, OTPAuthURL: url}, nil
}

func (a *Actor) confirmTOTP(ctx context.Context, req subjects.ConfirmTOTPRequest) (subjects.RecoveryCodes, error) {
	caller := actors.CallerFrom(ctx)
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return subjects.RecoveryCodes{}, err
	}
	row, err := totpOf(ctx, a.DB.DB, u.ID)
	if isNotFound(err) || err == nil && row.Confirmed {
		return subjects.RecoveryCodes{}, errNotEnrolling()
	}
	if err != nil {
		return subjects.RecoveryCodes{}, err
	}
	secret, err := a.Sealer.Open(row.Sealed, totpContext(u.ID))
	if err != nil {
		return subjects.RecoveryCodes{}, err
	}
	step, ok := totpStep(string(secret), req.Code, a.Now(), a.config.TOTPSkew, row.LastStep)
	if !ok {
		return subjects.RecoveryCodes{}, subjects.InvalidField("code", "is not the authenticator's current code")
	}
	codes := newRecoveryCodes()
	hashes := make([]string, 0, len(codes))
	for _, code := range codes {
		hashes = append(hashes, hashRecoveryCode(u.ID, code))
	}
	err = a.sessions.changeAccount(ctx, u, caller.SessionID, endMFA, func(ctx context.Context, tx database.Tx, u user) error {
		on, err := confirmTOTP(ctx, tx, u.ID, step, hashes)
		if err == nil && !on {
			err = errNotEnrolling()
		}
		if err != nil {
			return err
		}
		return a.recordFactorChange(ctx, tx, u, auditMFAOn, mfaOnText)
	})
	if err == nil {
		err = a.sessions.markTwoFactors(ctx, u.ID, caller.SessionID)
	}
	return subjects.RecoveryCodes{RecoveryCodes: codes}, err
}

func (a *Actor) disableTOTP(ctx context.Context, req subjects.DisableTOTPRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	u, err := a.credentials.confirmOwner(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	on, err := hasTOTP(ctx, a.DB.DB, u.ID)
	if err == nil && !on {
		err = errNoTOTP
	}
	if err != nil {
		return subjects.Empty{}, err
	}
	if err := a.credentials.stepUpCode(ctx, u, req.Code); err != nil {
		return subjects.Empty{}, err
	}
	left, err := countActivePasskeys(ctx, a.DB.DB, u.ID)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.sessions.changeAccount(ctx, u, a.config.keptSession(u, left, caller.SessionID), endMFA,
		func(ctx context.Context, tx database.Tx, u user) error {
			if err := deleteSecondFactors(ctx, tx, u.ID); err != nil {
				return err
			}
			return a.recordFactorChange(ctx, tx, u, auditMFAOff, mfaOffText)
		})
}

// recordFactorChange saves the account's next epoch, notifies the user and audits a change of the second factor.
func (a *Actor) recordFactorChange(ctx context.Context, tx database.Tx, u user, action string, text messageText) error {
	if err := saveUser(ctx, tx, u, "epoch"); err != nil {
		return err
	}
	if err := a.mailer.notify(ctx, tx, u, noticeFactor+action, text); err != nil {
		return err
	}
	return a.recorder.audit(ctx, tx, auditEntry{action: action, outcome: auditSuccess, userID: u.ID})
}

func errMFA() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "invalid or expired code or mfa_token; sign in again")
}

func errNotEnrolling() error {
	return subjects.Errorf(subjects.CodeConflict, "no authenticator is waiting to be confirmed")
}
