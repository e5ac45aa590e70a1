package auth

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth/lockout"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// register creates an account. It does the same work if the address is taken: one hash, one transaction.
func (a *Actor) register(ctx context.Context, req subjects.RegisterRequest) (subjects.Accepted, error) {
	u, err := newUser(req)
	if err != nil {
		return subjects.Accepted{}, err
	}
	if err := a.policy.Check(req.Password, u.ownWords()); err != nil {
		return subjects.Accepted{}, err
	}
	if u.PasswordHash, err = a.hasher.Hash(ctx, req.Password); err != nil {
		return subjects.Accepted{}, err
	}
	u.ID, u.CreatedAt = a.NewID(), a.Now().UTC()
	u.UpdatedAt = u.CreatedAt
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.addAccount(ctx, tx, u) })
	return accepted, err
}

// addAccount adds an account and sends a verification message. If the address is taken, it does as much work: an
// unverified account is marked as registered twice, which invalidates its password at verification, and gets another
// verification message; the owner of a verified account gets a notice.
func (a *Actor) addAccount(ctx context.Context, tx database.Tx, u user) error {
	other, err := addUser(ctx, tx, u)
	if err != nil {
		return err
	}
	switch {
	case other == nil:
		a.DB.AfterCommit(ctx, a.metrics.registrations.Inc)
		if err := publish(ctx, a.recorder, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID}); err != nil {
			return err
		}
		err = a.mailer.sendVerification(ctx, tx, u.ID, u.Email, purposeVerify)
	case !other.EmailVerified && !other.Disabled:
		if err = markDuplicateRegistration(ctx, tx, other.ID); err == nil {
			err = a.mailer.sendVerification(ctx, tx, other.ID, other.Email, purposeVerify)
		}
	default:
		err = a.mailer.send(ctx, tx, message{UserID: other.ID, Email: other.Email, Purpose: purposeNotice}, emailTakenText)
	}
	if err != nil {
		return err
	}
	if other != nil {
		return a.recorder.audit(ctx, tx, auditEntry{action: auditRegister, outcome: auditFailure, userID: other.ID})
	}
	return a.recorder.audit(ctx, tx, auditEntry{action: auditRegister, outcome: auditSuccess, userID: u.ID})
}

// login signs an account in with its password. An unknown address, a wrong password and a disabled account cost one
// comparison each and get the same reply.
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
	// Read for every address, so that the duration does not reveal whether it has an account.
	known, err := userByEmail(ctx, a.DB.DB, email)
	if err != nil && !isNotFound(err) {
		return subjects.Session{}, err
	}
	by := limiterKeys{source: a.devices.limiterKey(known.ID, req.DeviceToken)}
	if by.source == "" {
		by.source = lockout.Source(actors.CallerFrom(ctx).Origin.IP)
		proved, err := a.credentials.provedFrom(ctx, email, by.source)
		if err != nil {
			return subjects.Session{}, err
		}
		if !proved {
			by.account = "account:" + email
		}
	}
	u, ok, lockedNow, err := a.credentials.verifyPassword(ctx, email, req.Password, by)
	if err != nil {
		return subjects.Session{}, err
	}
	if !ok {
		if err := a.credentials.recordFailure(ctx, auditLogin, u.ID, lockedNow); err != nil {
			return subjects.Session{}, err
		}
		return subjects.Session{}, errSignIn()
	}
	due, err := hasTOTP(ctx, a.DB.DB, u.ID)
	if err != nil {
		return subjects.Session{}, err
	}
	if due {
		return a.credentials.pendingSession(u, callerSession(ctx))
	}
	return a.sessions.start(ctx, u, signIn{method: byPassword})
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
		if err := req.Check(old.tag()); err != nil {
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
		u.Version++
		return publish(ctx, a.recorder, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: changed})
	})
	return u.profile(), err
}

// getContact returns the address of a user, or the recipient of an e-mail message by the message's ID (mailer.deliver).
func (a *Actor) getContact(ctx context.Context, _ subjects.Empty) (subjects.Contact, error) {
	id := actors.CallerFrom(ctx).UserID
	u, err := userByID(ctx, a.DB.DB, id)
	if isNotFound(err) {
		u, err = a.recipient(ctx, id)
	}
	if err != nil {
		return subjects.Contact{}, err
	}
	return subjects.Contact{UserID: id, Email: u.Email, FirstName: u.FirstName, Locale: u.Locale, TimeZone: u.TimeZone}, nil
}

// recipient returns the account that a message is about, with the address that the message is sent to; errNoUser if
// there is no such message.
func (a *Actor) recipient(ctx context.Context, messageID string) (user, error) {
	msg, _, err := messageByID(ctx, a.DB.DB, messageID)
	if isNotFound(err) {
		err = errNoUser
	}
	if err != nil {
		return user{}, err
	}
	u, err := userByID(ctx, a.DB.DB, msg.UserID)
	if isNotFound(err) { // the farewell message of a deleted account
		u, err = user{Locale: defaultLocale, TimeZone: defaultTimeZone}, nil
	}
	u.Email = msg.Email
	return u, err
}
