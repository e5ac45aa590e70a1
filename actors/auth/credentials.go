package auth

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/lockout"
	"github.com/weftmesh/weft/actors/auth/password"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// credentials verifies passwords and second-factor codes behind the limiters.
type credentials struct {
	actors.Deps

	config   Config
	hasher   *password.Hasher
	recorder *recorder
	// sourceLimiter counts the failures of one account from one source; accountLimiter counts all failures of an account
	// except those of known devices.
	sourceLimiter, accountLimiter *lockout.Limiter
}

// openCredentials opens the bucket of the limiters. macKey hashes their keys.
func openCredentials(ctx context.Context, a *Actor, macKey []byte) (*credentials, error) {
	bucket, err := kv.Open[lockout.AttemptRecord](ctx, a.Conn.JS, kv.AuthAttempts)
	if err != nil {
		return nil, err
	}
	source := lockout.Rule{Limit: a.config.LockoutFailures, Duration: a.config.LockoutFor}
	account := lockout.Rule{Limit: a.config.AccountFailures, Duration: a.config.LockoutFor}
	return &credentials{
		Deps: a.Deps, config: a.config, hasher: a.hasher, recorder: a.recorder,
		sourceLimiter:  lockout.NewLimiter(a.Deps, bucket, source, macKey),
		accountLimiter: lockout.NewLimiter(a.Deps, bucket, account, macKey),
	}, nil
}

// limiterKeys are the keys that a failed attempt counts towards: its source or device in sourceLimiter, and the account
// in accountLimiter unless empty.
type limiterKeys struct{ source, account string }

// verifyPassword is comparePassword behind the limiters, for which it waits password.MaxWait at most. A call that would wait longer
// for its hash is refused first. lockedNow reports whether this failure locked the source.
func (c *credentials) verifyPassword(ctx context.Context, email, password string, by limiterKeys) (u user, ok, lockedNow bool, err error) {
	ctx, done, err := c.hasher.Admit(ctx)
	if err != nil {
		return user{}, false, false, err
	}
	defer done()
	var byAccount *lockout.Attempt
	if by.account != "" {
		if byAccount, err = c.accountLimiter.Begin(ctx, by.account, ""); err != nil {
			return user{}, false, false, err
		}
	}
	try, err := c.sourceLimiter.Begin(ctx, email, by.source)
	if err != nil {
		return user{}, false, false, errors.Join(err, byAccount.Abandon(ctx))
	}
	u, ok, err = c.comparePassword(ctx, email, password)
	if err != nil {
		if e := errors.Join(try.Abandon(ctx), byAccount.Abandon(ctx)); e != nil {
			c.Log.Warn("abandoning a sign-in attempt", zap.Error(e))
		}
		return user{}, false, false, err
	}
	lockedNow, err = try.Settle(ctx, !ok)
	// A success resets the failures of its own source, not those of the account as a whole.
	if ok {
		return u, ok, lockedNow, errors.Join(err, byAccount.Abandon(ctx))
	}
	_, e := byAccount.Settle(ctx, true)
	return u, ok, lockedNow, errors.Join(err, e)
}

// comparePassword returns the account with that address and whether the password signs in to it. It computes one hash
// whether or not the account exists. A correct password of an account that may not sign in yet counts as wrong:
// otherwise someone could register an address, guess its password and learn from the lockout whether the address was
// free. An outdated hash is replaced.
func (c *credentials) comparePassword(ctx context.Context, email, password string) (user, bool, error) {
	u, err := userByEmail(ctx, c.DB.DB, email)
	if err != nil && !isNotFound(err) {
		return user{}, false, err
	}
	ok, stale, err := c.hasher.Verify(ctx, u.PasswordHash, password)
	if err != nil || !ok || u.Disabled || c.config.requiresVerification(u) {
		return u, false, err
	}
	if stale {
		if err := c.rehash(ctx, u, password); err != nil {
			c.Log.Warn("replacing an outdated password hash", zap.Error(err))
		}
	}
	return u, true, nil
}

func (c *credentials) rehash(ctx context.Context, u user, password string) error {
	hash, err := c.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	// A step, because the call that gave the password may consist of steps itself (sessions.changeAccount).
	_, err = idempotency.Step(ctx, c.DB, "rehash", func(ctx context.Context, tx database.Tx) (struct{}, error) {
		return struct{}{}, replaceHash(ctx, tx, u.ID, u.PasswordHash, hash)
	})
	return err
}

// provedKey is the key of a source that has proved the mailbox of an account.
func (c *credentials) provedKey(email, from string) string {
	return c.sourceLimiter.Key("proved:"+email, from)
}

// unlock lets the owner of an account sign in who has just proved the mailbox, by a reset of the password: it forgets the
// failures of the account as a whole and those from the caller's network, and exempts that network from the account's limiter
// for Config.LockoutFor, so that those who go on guessing elsewhere do not lock the owner out again.
func (c *credentials) unlock(ctx context.Context, email string) error {
	from := lockout.Source(actors.CallerFrom(ctx).Origin.IP)
	return errors.Join(
		c.accountLimiter.Forgive(ctx, "account:"+email, ""), c.accountLimiter.Forgive(ctx, "session:"+email, ""),
		c.sourceLimiter.Forgive(ctx, email, from), c.sourceLimiter.Forgive(ctx, email, "session:"+from),
		c.sourceLimiter.Mark(ctx, c.provedKey(email, from), c.config.LockoutFor),
	)
}

// provedFrom reports whether the mailbox of an account was proved from a network within Config.LockoutFor.
func (c *credentials) provedFrom(ctx context.Context, email, from string) (bool, error) {
	_, err := c.sourceLimiter.Bucket.Get(ctx, c.provedKey(email, from))
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// recordFailure audits a wrong password or code, and the lockout if this failure caused it.
func (c *credentials) recordFailure(ctx context.Context, action, userID string, lockedNow bool) error {
	return c.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if lockedNow {
			if err := c.recorder.audit(ctx, tx, auditEntry{action: auditLockout, outcome: auditSuccess, userID: userID}); err != nil {
				return err
			}
		}
		return c.recorder.audit(ctx, tx, auditEntry{action: action, outcome: auditFailure, userID: userID})
	})
}

// stepUp requires the caller's password; field names it in the error. Wrong passwords count by source and for the
// account, as those of login do, but under keys of their own, so that someone who exhausts login's does not lock out
// a signed-in user.
func (c *credentials) stepUp(ctx context.Context, field, password string) (user, error) {
	caller := actors.CallerFrom(ctx)
	u, err := userByID(ctx, c.DB.DB, caller.UserID)
	if err != nil {
		return user{}, err
	}
	opened, ok, lockedNow, err := c.verifyPassword(ctx, u.Email, password, limiterKeys{
		source: "session:" + lockout.Source(caller.Origin.IP), account: "session:" + u.Email,
	})
	if err != nil {
		return user{}, err
	}
	if !ok || opened.ID != u.ID {
		if err := c.recordFailure(ctx, auditStepUp, u.ID, lockedNow); err != nil {
			return user{}, err
		}
		return user{}, subjects.InvalidField(field, "is not the password of this account")
	}
	return opened, nil
}

// stepUpCode requires a second-factor code if the account has an authenticator. Wrong codes count by session: a stolen
// session gets no further tries from another network, and uses up none of the owner's.
func (c *credentials) stepUpCode(ctx context.Context, u user, code string) error {
	on, err := hasTOTP(ctx, c.DB.DB, u.ID)
	if err != nil || !on {
		return err
	}
	if code == "" {
		return subjects.InvalidField("code", "is missing: the account has an authenticator")
	}
	ok, err := c.verifyCode(ctx, u, code, "session:"+actors.CallerFrom(ctx).SessionID)
	if err == nil && !ok {
		err = subjects.InvalidField("code", "invalid or used code")
	}
	return err
}

// verifyCode reports whether a second-factor code is the account's, and consumes it. Wrong codes count for the account
// from every source, because only someone with the password gets here. from is a key under which a known device or a
// session counts separately, so that someone who has only the password cannot lock out the owner; it is empty for
// others.
func (c *credentials) verifyCode(ctx context.Context, u user, code, from string) (bool, error) {
	try, err := c.sourceLimiter.Begin(ctx, "totp:"+u.ID, from)
	if err != nil {
		return false, err
	}
	ok, err := c.useCode(ctx, u.ID, code)
	if err != nil {
		if e := try.Abandon(ctx); e != nil {
			c.Log.Warn("abandoning a sign-in attempt", zap.Error(e))
		}
		return false, err
	}
	lockedNow, err := try.Settle(ctx, !ok)
	if err != nil || ok {
		return ok, err
	}
	return false, c.recordFailure(ctx, auditMFA, u.ID, lockedNow)
}

// useCode consumes a code of the confirmed authenticator, or a recovery code. It reports whether the code was valid.
func (c *credentials) useCode(ctx context.Context, userID, code string) (bool, error) {
	row, err := totpOf(ctx, c.DB.DB, userID)
	if isNotFound(err) || err == nil && !row.Confirmed {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	secret, err := c.Sealer.Open(row.Sealed, totpContext(userID))
	if err != nil {
		return false, err
	}
	used, err := idempotency.Step(ctx, c.DB, "code", func(ctx context.Context, tx database.Tx) (bool, error) {
		if step, ok := totpStep(string(secret), code, c.Now(), c.config.TOTPSkew, row.LastStep); ok {
			return useTOTPStep(ctx, tx, userID, step)
		}
		return useRecoveryCode(ctx, tx, userID, hashRecoveryCode(userID, code))
	})
	return used, err
}

// confirmOwner requires the caller's password or, if the account has none, a recent sign-in.
func (c *credentials) confirmOwner(ctx context.Context, password string) (user, error) {
	caller := actors.CallerFrom(ctx)
	u, err := userByID(ctx, c.DB.DB, caller.UserID)
	if err != nil {
		return user{}, err
	}
	if u.PasswordHash == "" {
		return u, c.requireRecentSignIn(caller)
	}
	return c.stepUp(ctx, "password", password)
}

// confirmAPIKeyOwner requires a recent sign-in, or the password and second factor, because an API key outlives the
// session that creates it.
func (c *credentials) confirmAPIKeyOwner(ctx context.Context, req subjects.CreateAPIKeyRequest) error {
	err := c.requireRecentSignIn(actors.CallerFrom(ctx))
	if err == nil || req.Password == "" {
		return err
	}
	u, err := c.stepUp(ctx, "password", req.Password)
	if err != nil {
		return err
	}
	return c.stepUpCode(ctx, u, req.Code)
}

// requireRecentSignIn returns CodeForbidden if the caller signed in longer ago than OAuthConfig.FreshFor.
func (c *credentials) requireRecentSignIn(caller actors.Caller) error {
	return requireRecent(time.Unix(caller.Claims.AuthTime, 0), c.Now(), c.config.OAuth.FreshFor)
}

// pendingSession returns the reply to a correct password if a second factor is due.
func (c *credentials) pendingSession(u user, replaces sessionRef) (subjects.Session, error) {
	token, err := sealPending(c.Sealer, pendingLogin{
		UserID: u.ID, Epoch: u.Epoch, ExpiresAt: c.Now().UTC().Add(pendingLoginTTL), Replaces: replaces,
	})
	return subjects.Session{
		MFAToken: token, MFAMethods: []string{"totp", "recovery_code"}, ExpiresIn: int(pendingLoginTTL.Seconds()),
	}, err
}
