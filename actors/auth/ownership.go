package auth

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// ownership verifies and changes the address of an account. The owner of an address need not be the person who
// registered the account: when the owner of an unverified account's address arrives, ownership erases the account, in
// every actor, and gives the owner a new one (docs/adr/0012).
type ownership struct {
	actors.Deps

	config   Config
	erasures *erasures
	apiKeys  *apiKeys
	mailer   *mailer
	recorder *recorder
	metrics  *metrics
}

// verify marks the address of an account verified. The account is kept only if it was registered once; otherwise it may be
// another person's (see verifyDuplicate).
func (o *ownership) verify(ctx context.Context, msg message, u user) error {
	if u.Email != msg.Email || u.EmailVerified {
		return errToken()
	}
	if u.DuplicateRegistration {
		return o.verifyDuplicate(ctx, msg, u)
	}
	return o.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now, err := lockUser(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if now.DuplicateRegistration {
			return subjects.Errorf(subjects.CodeConflict, "the address was registered again at the same time; retry")
		}
		return o.markVerified(ctx, tx, msg, now)
	})
}

// verifyDuplicate verifies an address that was registered more than once. The account that the registrants share is replaced
// by a new one without a password, and the owner of the address gets a message to set one.
func (o *ownership) verifyDuplicate(ctx context.Context, msg message, u user) error {
	use := func(ctx context.Context, tx database.Tx) error { return useToken(ctx, tx, msg) }
	_, err := o.takeOver(ctx, u, user{}, auditVerify, use, func(ctx context.Context, tx database.Tx, u user) error {
		token, hash := newToken()
		reset := message{UserID: u.ID, Email: u.Email, Purpose: purposeReset, TokenHash: hash}
		return o.mailer.send(ctx, tx, reset, duplicateRegistrationText(o.config.ResetURL, token, o.config.TokenTTL))
	})
	return tokenError(err)
}

// tokenError returns the error of a takeover by a token: one that found another account than the token's has lost a race with
// another token of the same account, and this token is invalid.
func tokenError(err error) error {
	if isNotFound(err) || errors.Is(err, errConcurrent) {
		return errToken()
	}
	return err
}

// takeOver replaces an unverified account by a new one of the owner of its address, with a new ID: the old account is deleted as
// by delete_account, and the new one can sign in once every actor has erased the old one (sessions.awaitErasure). Nothing of the
// old account is kept but the address. fresh has what the new account begins with: a password hash, or a profile.
//
// proof is run in the transaction before the deletion, and change after it with the new account. by is the audited action that
// proved the ownership. The error is CodeNotFound if the account is gone, and errConcurrent if it has been verified, disabled or
// moved to another address meanwhile.
func (o *ownership) takeOver(
	ctx context.Context, old, fresh user, by string,
	proof func(context.Context, database.Tx) error, change func(context.Context, database.Tx, user) error,
) (user, error) {
	done, err := o.erasures.erase(ctx, old.ID, func(ctx context.Context, tx database.Tx, now user) (erased, error) {
		if now.EmailVerified || now.Disabled || now.Email != old.Email {
			return erased{}, errConcurrent
		}
		if err := proof(ctx, tx); err != nil {
			return erased{}, err
		}
		done, err := o.erasures.begin(ctx, tx, now)
		if err != nil {
			return erased{}, err
		}
		mine := successor(fresh, now.Email, done.ErasureID, o.NewID(), o.Now().UTC())
		if _, err := addUser(ctx, tx, mine); err != nil {
			return erased{}, err
		}
		if err := o.recordTakeover(ctx, tx, mine, by); err != nil {
			return erased{}, err
		}
		done.Successor = mine.ID
		return done, change(ctx, tx, mine)
	})
	if err != nil {
		return user{}, err
	}
	o.metrics.takeovers.Inc()
	return userByID(ctx, o.DB.DB, done.Successor)
}

// successor returns the verified account that replaces an erased one.
func successor(fresh user, email, erasureID, id string, now time.Time) user {
	fresh.ID, fresh.Email, fresh.EmailVerified, fresh.ErasureID = id, email, true, erasureID
	if fresh.Roles == nil {
		fresh.Roles = []string{subjects.RoleUser}
	}
	fresh.SecondFactor = factorDefault
	fresh.Locale, fresh.TimeZone = cmp.Or(fresh.Locale, defaultLocale), cmp.Or(fresh.TimeZone, defaultTimeZone)
	fresh.CreatedAt, fresh.UpdatedAt = now, now
	return fresh
}

// recordTakeover publishes and audits the account that replaces an erased one.
func (o *ownership) recordTakeover(ctx context.Context, tx database.Tx, u user, by string) error {
	if err := publish(ctx, o.recorder, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID}); err != nil {
		return err
	}
	return o.recorder.audit(ctx, tx, auditEntry{
		action: auditClaim, outcome: auditSuccess, userID: u.ID, detail: map[string]string{"by": by},
	})
}

// markVerified consumes the message's token and saves the account as verified.
func (o *ownership) markVerified(ctx context.Context, tx database.Tx, msg message, u user) error {
	if u.Email != msg.Email {
		return errToken()
	}
	if err := useToken(ctx, tx, msg); err != nil {
		return err
	}
	if err := voidTokens(ctx, tx, u.ID, purposeVerify); err != nil {
		return err
	}
	u.EmailVerified, u.DuplicateRegistration, u.UpdatedAt = true, false, o.Now().UTC()
	if err := saveUser(ctx, tx, u, "email_verified", "duplicate_registration"); err != nil {
		return err
	}
	if err := o.recorder.audit(ctx, tx, auditEntry{action: auditVerify, outcome: auditSuccess, userID: u.ID}); err != nil {
		return err
	}
	return publish(ctx, o.recorder, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"email_verified"}})
}

// changeEmail sets the account's address to the one that the message verified, and notifies the old address. If an unverified
// account has the address, it is erased in every actor: the person with the mailbox has shown whose the address is.
func (o *ownership) changeEmail(ctx context.Context, msg message, u user) error {
	other, err := userByEmail(ctx, o.DB.DB, msg.Email)
	switch {
	case err == nil && !other.EmailVerified && !other.Disabled && other.ID != u.ID:
		_, err = o.erasures.erase(ctx, other.ID, func(ctx context.Context, tx database.Tx, now user) (erased, error) {
			if now.EmailVerified || now.Disabled || now.Email != msg.Email {
				return erased{}, errAddressTaken
			}
			done, err := o.erasures.begin(ctx, tx, now)
			if err != nil {
				return erased{}, err
			}
			return done, o.setEmail(ctx, tx, msg, u.ID)
		})
	case err == nil || isNotFound(err):
		err = o.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return o.setEmail(ctx, tx, msg, u.ID) })
	}
	if database.IsUnique(err) {
		return errAddressTaken
	}
	return err
}

var errAddressTaken = subjects.Errorf(subjects.CodeConflict, "another account has taken this address meanwhile")

// setEmail consumes the message's token and sets the account's address.
func (o *ownership) setEmail(ctx context.Context, tx database.Tx, msg message, userID string) error {
	now, err := lockUser(ctx, tx, userID)
	if err != nil {
		return err
	}
	if err := useToken(ctx, tx, msg); err != nil {
		return err
	}
	old := now.Email
	now.Email, now.EmailVerified, now.UpdatedAt = msg.Email, true, o.Now().UTC()
	if err := saveUser(ctx, tx, now, "email", "email_verified"); err != nil {
		return err
	}
	if err := voidTokens(ctx, tx, now.ID, purposeReset, purposeVerify, purposeChangeEmail); err != nil {
		return err
	}
	changed := message{UserID: now.ID, Email: old, Purpose: noticeEmailChanged}
	if err := o.mailer.send(ctx, tx, changed, emailChangedText(msg.Email)); err != nil {
		return err
	}
	if err := o.recorder.audit(ctx, tx, auditEntry{action: auditEmailChange, outcome: auditSuccess, userID: now.ID}); err != nil {
		return err
	}
	updated := subjects.UserUpdated{UserID: now.ID, Fields: []string{"email", "email_verified"}}
	return publish(ctx, o.recorder, tx, subjects.UserUpdatedEvent, now.ID, updated)
}

// resetVerified sets the password of a verified account after a reset. All sessions and API keys of the account end: an
// attacker with the old password may have made them.
func (o *ownership) resetVerified(ctx context.Context, u user, hash string, use func(context.Context, database.Tx) error) error {
	if err := o.apiKeys.revokeTokens(ctx, u.ID); err != nil {
		return err
	}
	var keys []apiKey
	err := o.erasures.sessions.changeAccount(ctx, u, "", endPassword, func(ctx context.Context, tx database.Tx, u user) (err error) {
		if err := use(ctx, tx); err != nil {
			return err
		}
		if keys, err = userAPIKeys(ctx, tx, u.ID, "", maxAPIKeys); err != nil {
			return err
		}
		if err := deleteUserAPIKeys(ctx, tx, u.ID); err != nil {
			return err
		}
		return o.setPassword(ctx, tx, u, hash, auditReset)
	})
	if err != nil {
		return err
	}
	return o.apiKeys.revokeTokensOf(ctx, u.ID, keys)
}

// setPassword saves an account's new password, and notifies the user.
func (o *ownership) setPassword(ctx context.Context, tx database.Tx, u user, hash, action string) error {
	u.PasswordHash = hash
	if err := saveUser(ctx, tx, u, "password_hash", "epoch"); err != nil {
		return err
	}
	if err := voidTokens(ctx, tx, u.ID, purposeReset, purposeChangeEmail); err != nil {
		return err
	}
	if err := o.mailer.notify(ctx, tx, u, noticePassword, passwordChangedText); err != nil {
		return err
	}
	return o.recorder.audit(ctx, tx, auditEntry{action: action, outcome: auditSuccess, userID: u.ID})
}
