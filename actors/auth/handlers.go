package auth

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/subjects"
)

// register opens an account. It does the same work for a taken address: one hash, one transaction.
func (a *Actor) register(ctx context.Context, req subjects.RegisterRequest) (subjects.Accepted, error) {
	u, err := newUser(req)
	if err != nil {
		return subjects.Accepted{}, err
	}
	if err := a.policy.check(req.Password, u); err != nil {
		return subjects.Accepted{}, err
	}
	if u.PasswordHash, err = a.passwords.hash(ctx, req.Password); err != nil {
		return subjects.Accepted{}, err
	}
	u.ID, u.CreatedAt = a.NewID(), a.Now().UTC()
	u.UpdatedAt = u.CreatedAt
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.addAccount(ctx, tx, u) })
	return accepted, err
}

// addAccount adds an account with what tells of it. Where the address is taken it does as much: an unverified account's
// owner is asked again to prove the address, and its password is nobody's from then on; a verified one's is told.
func (a *Actor) addAccount(ctx context.Context, tx database.Tx, u user) error {
	other, err := addUser(ctx, tx, u)
	if err != nil {
		return err
	}
	switch {
	case other == nil:
		a.DB.AfterCommit(ctx, a.metrics.registrations.Inc)
		if err := tell(ctx, a, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID}); err != nil {
			return err
		}
		err = a.postVerification(ctx, tx, u.ID, u.Email, forVerification)
	case !other.EmailVerified && !other.Disabled:
		if err = contest(ctx, tx, other.ID); err == nil {
			err = a.postVerification(ctx, tx, other.ID, other.Email, forVerification)
		}
	default:
		err = a.post(ctx, tx, letter{UserID: other.ID, Email: other.Email, Purpose: forNotice}, takenText)
	}
	if err != nil {
		return err
	}
	if other != nil {
		return a.audit(ctx, tx, entry{action: auditRegister, outcome: auditFailure, userID: other.ID})
	}
	return a.audit(ctx, tx, entry{action: auditRegister, outcome: auditSuccess, userID: u.ID})
}

// login signs an account in. An unknown address, a wrong password and a disabled account cost one comparison
// each and answer alike.
func (a *Actor) login(ctx context.Context, req subjects.LoginRequest) (subjects.Session, error) {
	res, err := a.signIn(ctx, req)
	a.metrics.login(res, err)
	return res, err
}

func (a *Actor) signIn(ctx context.Context, req subjects.LoginRequest) (subjects.Session, error) {
	email, err := normalEmail(req.Email)
	if err != nil {
		return subjects.Session{}, err
	}
	by := counted{one: a.countedDevice(email, req.DeviceToken)}
	if by.one == "" {
		by = counted{one: source(actors.CallerFrom(ctx).Origin.IP), whole: "account:" + email}
	}
	u, ok, lockedNow, err := a.tryPassword(ctx, email, req.Password, by)
	if err != nil {
		return subjects.Session{}, err
	}
	if !ok {
		if err := a.recordFailure(ctx, auditLogin, u.ID, lockedNow); err != nil {
			return subjects.Session{}, err
		}
		return subjects.Session{}, errSignIn()
	}
	factor, err := totpOf(ctx, a.DB.DB, u.ID)
	if err != nil {
		return subjects.Session{}, err
	}
	if factor != nil && factor.Confirmed {
		return a.pendingSession(u, sessionOf(ctx))
	}
	return a.startSession(ctx, u, signIn{method: byPassword})
}

// mustVerify tells whether the account gets nothing before its address is verified.
func (a *Actor) mustVerify(u user) bool { return a.config.RequireVerifiedEmail && !u.EmailVerified }

// counted is what a failed attempt counts towards: one device or source, few of which are allowed, and the account
// as a whole, unless empty.
type counted struct{ one, whole string }

// tryPassword is checkPassword behind the lockout. lockedNow tells that this was the last failure allowed.
func (a *Actor) tryPassword(ctx context.Context, email, password string, by counted) (u user, ok, lockedNow bool, err error) {
	var stranger *attempt
	if by.whole != "" {
		if stranger, err = a.strangers.begin(ctx, by.whole, ""); err != nil {
			return user{}, false, false, err
		}
	}
	try, err := a.attempts.begin(ctx, email, by.one)
	if err != nil {
		return user{}, false, false, errors.Join(err, stranger.abandon(ctx))
	}
	u, ok, err = a.checkPassword(ctx, email, password)
	if err != nil {
		if e := errors.Join(try.abandon(ctx), stranger.abandon(ctx)); e != nil {
			a.Log.Warn("taking an attempt back", zap.Error(e))
		}
		return user{}, false, false, err
	}
	lockedNow, err = try.end(ctx, !ok)
	// A good login forgives its own source, not what others tried.
	if ok {
		return u, ok, lockedNow, errors.Join(err, stranger.abandon(ctx))
	}
	_, e := stranger.end(ctx, true)
	return u, ok, lockedNow, errors.Join(err, e)
}

// checkPassword finds the account that the password opens; the account comes along where only the password
// is wrong. One that opens nothing yet counts as wrong: who registers an address and then guesses at it must not learn by
// the lockout whether the address was free. A hash that is not up to date is made anew.
func (a *Actor) checkPassword(ctx context.Context, email, password string) (user, bool, error) {
	u, err := userByEmail(ctx, a.DB.DB, email)
	if err != nil && subjects.CodeOf(err) != subjects.CodeNotFound {
		return user{}, false, err
	}
	ok, stale, err := a.passwords.verify(ctx, u.PasswordHash, password)
	if err != nil || !ok || u.Disabled || a.mustVerify(u) {
		return u, false, err
	}
	if stale {
		if err := a.rehash(ctx, u, password); err != nil {
			a.Log.Warn("renewing a password hash", zap.Error(err))
		}
	}
	return u, true, nil
}

func (a *Actor) rehash(ctx context.Context, u user, password string) error {
	hash, err := a.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	// A step, since what the password was given for may be one (replaceSessions).
	_, err = idempotency.Step(ctx, a.DB, "rehash", func(ctx context.Context, tx database.Tx) (struct{}, error) {
		return struct{}{}, saveHash(ctx, tx, u.ID, u.PasswordHash, hash)
	})
	return err
}

// recordFailure records that a password was wrong.
func (a *Actor) recordFailure(ctx context.Context, action, userID string, lockedNow bool) error {
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		if lockedNow {
			if err := a.audit(ctx, tx, entry{action: auditLockout, outcome: auditSuccess, userID: userID}); err != nil {
				return err
			}
		}
		return a.audit(ctx, tx, entry{action: action, outcome: auditFailure, userID: userID})
	})
}

func (a *Actor) getUserProfile(ctx context.Context, _ subjects.Empty) (subjects.Profile, error) {
	id := actors.CallerFrom(ctx).UserID
	u, err := a.profiles.Get(ctx, id, func(ctx context.Context) (user, error) { return userByID(ctx, a.DB.DB, id) })
	return u.profile(), err
}

func (a *Actor) updateUserProfile(ctx context.Context, req subjects.UpdateUserProfileRequest) (subjects.Profile, error) {
	var u user
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		old, err := lockUser(ctx, tx, actors.CallerFrom(ctx).UserID)
		if err != nil {
			return err
		}
		var changed []string
		if u, changed, err = old.change(req); err != nil || len(changed) == 0 {
			return err
		}
		u.UpdatedAt = a.Now().UTC()
		if err := saveUser(ctx, tx, u, changed...); err != nil {
			return err
		}
		return tell(ctx, a, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: changed})
	})
	return u.profile(), err
}

// getContact answers for a user, or for the addressee of a letter (letters.go).
func (a *Actor) getContact(ctx context.Context, _ subjects.Empty) (subjects.Contact, error) {
	id := actors.CallerFrom(ctx).UserID
	to := ""
	u, err := userByID(ctx, a.DB.DB, id)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		l, _, e := letterByID(ctx, a.DB.DB, id)
		if e != nil {
			return subjects.Contact{}, e
		}
		to = l.Email
		u, err = userByID(ctx, a.DB.DB, l.UserID)
		if subjects.CodeOf(err) == subjects.CodeNotFound {
			// The last letter of an account that was deleted.
			u, err = user{Locale: defaultLocale, TimeZone: defaultTimeZone}, nil
		}
	}
	if err != nil {
		return subjects.Contact{}, err
	}
	if to == "" {
		to = u.Email
	}
	return subjects.Contact{UserID: id, Email: to, FirstName: u.FirstName, Locale: u.Locale, TimeZone: u.TimeZone}, nil
}
