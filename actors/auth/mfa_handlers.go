package auth

import (
	"context"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/subjects"
)

func totpContext(userID string) []byte { return []byte("totp/" + userID) }

// pendingSession is the answer to a right password where a second factor is due.
func (a *Actor) pendingSession(u user, replaces sessionRef) (subjects.Session, error) {
	token, err := sealPending(a.Sealer, pendingLogin{
		UserID: u.ID, Epoch: u.Epoch, ExpiresAt: a.Now().UTC().Add(mfaTTL), Replaces: replaces,
	})
	return subjects.Session{
		MFAToken: token, MFAMethods: []string{"totp", "recovery_code"}, ExpiresIn: int(mfaTTL.Seconds()),
	}, err
}

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
	if subjects.CodeOf(err) == subjects.CodeNotFound || err == nil && (u.Disabled || u.Epoch != pending.Epoch) {
		return subjects.Session{}, errMFA()
	}
	if err != nil {
		return subjects.Session{}, err
	}
	good, err := a.secondFactor(ctx, u, req.Code, a.countedDevice(u.Email, req.DeviceToken))
	if err != nil {
		return subjects.Session{}, err
	}
	if !good {
		return subjects.Session{}, errMFA()
	}
	return a.startSession(ctx, u, signIn{method: byPasswordTOTP, twoFactors: true, replaces: pending.Replaces})
}

// secondFactor tells whether a code is the account's, and uses it up. Wrong ones count, wherever they come from: only
// who has the password gets here. But a known device, and who is signed in, is counted apart, so that who has the
// password alone locks no owner out.
func (a *Actor) secondFactor(ctx context.Context, u user, code, apart string) (bool, error) {
	try, err := a.attempts.begin(ctx, "totp:"+u.ID, apart)
	if err != nil {
		return false, err
	}
	good, err := a.useCode(ctx, u.ID, code)
	if err != nil {
		if e := try.abandon(ctx); e != nil {
			a.Log.Warn("taking an attempt back", zap.Error(e))
		}
		return false, err
	}
	lockedNow, err := try.end(ctx, !good)
	if err != nil || good {
		return good, err
	}
	return false, a.recordFailure(ctx, auditMFA, u.ID, lockedNow)
}

// useCode takes a code of the confirmed authenticator, or a recovery code, once.
func (a *Actor) useCode(ctx context.Context, userID, code string) (bool, error) {
	row, err := totpOf(ctx, a.DB.DB, userID)
	if err != nil || row == nil || !row.Confirmed {
		return false, err
	}
	secret, err := a.Sealer.Open(row.Sealed, totpContext(userID))
	if err != nil {
		return false, err
	}
	used, err := idempotency.Step(ctx, a.DB, "code", func(ctx context.Context, tx database.Tx) (bool, error) {
		if step, ok := totpStep(string(secret), code, a.Now(), a.config.TOTPSkew, row.LastStep); ok {
			return useStep(ctx, tx, userID, step)
		}
		return useRecoveryCode(ctx, tx, userID, hashRecoveryCode(userID, code))
	})
	return used, err
}

func (a *Actor) enrollTOTP(ctx context.Context, req subjects.EnrollTOTPRequest) (subjects.TOTPEnrollment, error) {
	u, err := a.proveOwner(ctx, req.Password)
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
		set, err := putTOTP(ctx, tx, totpRow{UserID: u.ID, Sealed: sealed, CreatedAt: a.Now().UnixMilli()})
		if err == nil && !set {
			err = subjects.Errorf(subjects.CodeConflict, "there is an authenticator; turn it off first")
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, entry{action: auditMFAEnroll, outcome: auditSuccess, userID: u.ID})
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
	if err != nil {
		return subjects.RecoveryCodes{}, err
	}
	if row == nil || row.Confirmed {
		return subjects.RecoveryCodes{}, subjects.Errorf(subjects.CodeConflict, "no authenticator waits to be confirmed")
	}
	secret, err := a.Sealer.Open(row.Sealed, totpContext(u.ID))
	if err != nil {
		return subjects.RecoveryCodes{}, err
	}
	step, ok := totpStep(string(secret), req.Code, a.Now(), a.config.TOTPSkew, row.LastStep)
	if !ok {
		return subjects.RecoveryCodes{}, subjects.InvalidField("code", "is not the authenticator's")
	}
	codes := newRecoveryCodes()
	hashes := make([]string, 0, len(codes))
	for _, code := range codes {
		hashes = append(hashes, hashRecoveryCode(u.ID, code))
	}
	err = a.replaceSessions(ctx, u, caller.SessionID, endMFA, func(ctx context.Context, tx database.Tx, u user) error {
		on, err := confirmTOTP(ctx, tx, u.ID, step, hashes)
		if err == nil && !on {
			err = subjects.Errorf(subjects.CodeConflict, "no authenticator waits to be confirmed")
		}
		if err != nil {
			return err
		}
		return a.tellMFA(ctx, tx, u, auditMFAOn, mfaOnText)
	})
	if err == nil {
		err = a.enrolled(ctx, u.ID, caller.SessionID)
	}
	return subjects.RecoveryCodes{RecoveryCodes: codes}, err
}

func (a *Actor) disableTOTP(ctx context.Context, req subjects.DisableTOTPRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	u, err := a.proveOwner(ctx, req.Password)
	if err != nil {
		return subjects.Empty{}, err
	}
	row, err := totpOf(ctx, a.DB.DB, u.ID)
	if err != nil {
		return subjects.Empty{}, err
	}
	if row == nil || !row.Confirmed {
		return subjects.Empty{}, subjects.Errorf(subjects.CodeNotFound, "there is no authenticator")
	}
	if err := a.stepUpCode(ctx, u, req.Code); err != nil {
		return subjects.Empty{}, err
	}
	left, err := a.activePasskeys(ctx, u.ID)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.replaceSessions(ctx, u, a.keptWithout(u, left, caller.SessionID), endMFA,
		func(ctx context.Context, tx database.Tx, u user) error {
			if err := dropSecondFactors(ctx, tx, u.ID); err != nil {
				return err
			}
			return a.tellMFA(ctx, tx, u, auditMFAOff, mfaOffText)
		})
}

// tellMFA saves the account's next epoch and tells of a change of its second factor.
func (a *Actor) tellMFA(ctx context.Context, tx database.Tx, u user, action string, says text) error {
	if err := saveUser(ctx, tx, u, "epoch"); err != nil {
		return err
	}
	if err := a.notify(ctx, tx, u, says); err != nil {
		return err
	}
	return a.audit(ctx, tx, entry{action: action, outcome: auditSuccess, userID: u.ID})
}

func errMFA() error {
	return subjects.Errorf(subjects.CodeUnauthenticated, "the code is not good, or it came too late: sign in again")
}
