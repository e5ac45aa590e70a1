package auth

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// identities finds, creates and links the accounts of users who sign in at a provider, and refreshes the provider's
// tokens.
type identities struct {
	actors.Deps

	config    Config
	oauth     *oauth
	sessions  *sessions
	ownership *ownership
	mailer    *mailer
	recorder  *recorder
	metrics   *metrics
}

// errConcurrent is returned if a concurrent sign-in changed what this one read: retry.
var errConcurrent = errors.New("lost a race with another sign-in")

// maxTries bounds the retries after errConcurrent.
const maxTries = 4

// resolve returns the account of a user who signed in at a provider, and creates it at the first sign-in. If an existing
// account is refused, resolve returns it with the error.
func (ids *identities) resolve(ctx context.Context, p *provider, who providerAccount, token *oauth2.Token) (user, error) {
	for range maxTries {
		u, err := ids.signInExisting(ctx, p, who, token)
		if isNotFound(err) {
			u, err = ids.signInFirst(ctx, p, who, token)
		}
		if !errors.Is(err, errConcurrent) {
			return u, err
		}
	}
	return user{}, &subjects.Error{Code: subjects.CodeConflict, Detail: "too many concurrent sign-ins; retry", Cause: errConcurrent}
}

// signInExisting returns the account that has the identity, and stores the provider's current claims and tokens. The
// error is CodeNotFound if there is none.
func (ids *identities) signInExisting(ctx context.Context, p *provider, who providerAccount, token *oauth2.Token) (user, error) {
	var u user
	err := ids.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		i, err := identityOf(ctx, tx, who.Issuer, who.Subject)
		if err != nil {
			return err
		}
		if u, err = userByID(ctx, tx, i.UserID); err != nil {
			return err
		}
		if u.Disabled {
			return errDisabled()
		}
		if i, err = ids.sealTokens(i.updated(who, ids.Now().UTC()), token); err != nil {
			return err
		}
		i.Version++
		if err := saveIdentity(ctx, tx, i); err != nil {
			return err
		}
		return ids.audit(ctx, tx, auditOAuth, u.ID, p.id)
	})
	return u, err
}

// signInFirst creates an account at the first sign-in of a provider's account. If the address has an unverified
// account, the provider's verification replaces it; a verified account is never linked by its address.
func (ids *identities) signInFirst(ctx context.Context, p *provider, who providerAccount, token *oauth2.Token) (user, error) {
	email, err := normalEmail(who.Email)
	if err != nil || !who.EmailVerified {
		return user{}, errProviderEmail()
	}
	u, err := userByEmail(ctx, ids.DB.DB, email)
	switch {
	case isNotFound(err):
		return ids.createAccount(ctx, p, email, who, token)
	case err != nil:
		return user{}, err
	case u.Disabled:
		return u, errDisabled()
	case u.EmailVerified:
		// A concurrent sign-in with this identity may have just created the account.
		_, err := identityOf(ctx, ids.DB.DB, who.Issuer, who.Subject)
		switch {
		case err == nil:
			return user{}, errConcurrent
		case isNotFound(err):
			err = errEmailTaken()
		}
		return u, err
	}
	return ids.claimAccount(ctx, p, u, who, token)
}

// createAccount creates an account without a password.
func (ids *identities) createAccount(ctx context.Context, p *provider, email string, who providerAccount, token *oauth2.Token) (user, error) {
	now := ids.Now().UTC()
	u := who.applyTo(user{
		ID: ids.NewID(), Email: email, EmailVerified: true, Roles: []string{subjects.RoleUser}, SecondFactor: factorDefault, CreatedAt: now, UpdatedAt: now,
	})
	err := ids.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		other, err := addUser(ctx, tx, u)
		if err == nil && other != nil {
			err = errConcurrent
		}
		if err != nil {
			return err
		}
		if err := ids.attach(ctx, tx, p, u, who, token); err != nil {
			return err
		}
		ids.DB.AfterCommit(ctx, ids.metrics.registrations.Inc)
		if err := publish(ctx, ids.recorder, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID}); err != nil {
			return err
		}
		return ids.audit(ctx, tx, auditRegister, u.ID, p.id)
	})
	return u, err
}

// claimAccount replaces an unverified account by one of the owner of its address, whom the provider has verified.
func (ids *identities) claimAccount(ctx context.Context, p *provider, u user, who providerAccount, token *oauth2.Token) (user, error) {
	none := func(context.Context, database.Tx) error { return nil }
	mine, err := ids.ownership.takeOver(ctx, u, who.applyTo(user{}), auditOAuth, none, func(ctx context.Context, tx database.Tx, mine user) error {
		if err := ids.attach(ctx, tx, p, mine, who, token); err != nil {
			return err
		}
		return ids.mailer.notify(ctx, tx, mine, noticeClaimed, claimedText(p.id))
	})
	if isNotFound(err) {
		err = errConcurrent
	}
	if err != nil {
		return u, err
	}
	return mine, nil
}

// attach adds an identity to an account that the transaction has created or locked; errConcurrent if the identity
// belongs to another account.
func (ids *identities) attach(ctx context.Context, tx database.Tx, p *provider, u user, who providerAccount, token *oauth2.Token) error {
	now := ids.Now().UTC()
	i := identity{
		ID: ids.NewID(), UserID: u.ID, Provider: p.id, Issuer: who.Issuer, Subject: who.Subject, CreatedAt: now,
	}.updated(who, now)
	i, err := ids.sealTokens(i, token)
	if err != nil {
		return err
	}
	added, err := addIdentity(ctx, tx, i)
	if err == nil && !added {
		err = errConcurrent
	}
	return err
}

// audit audits a successful use or change of an identity.
func (ids *identities) audit(ctx context.Context, tx database.Tx, action, userID, provider string) error {
	return ids.recorder.audit(ctx, tx, auditEntry{
		action: action, outcome: auditSuccess, userID: userID, detail: map[string]string{"provider": provider},
	})
}

// finishLink adds a provider's account to the account that began the flow. The session that began it must still be
// live. twoFactors reports whether that session was started with two factors.
func (ids *identities) finishLink(
	ctx context.Context, p *provider, s oauthState, who providerAccount, token *oauth2.Token,
) (u user, twoFactors bool, err error) {
	found, err := ids.sessions.get(ctx, s.UserID, s.SessionID)
	if errors.Is(err, kv.ErrNotFound) {
		return user{}, false, errState()
	}
	if err != nil {
		return user{}, false, err
	}
	err = ids.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		var err error
		if u, err = lockUser(ctx, tx, s.UserID); err != nil {
			return err
		}
		switch {
		case found.Epoch < u.Epoch || !ids.Now().Before(found.endsAt()):
			return errState()
		case u.Disabled:
			return errDisabled()
		case !u.EmailVerified:
			return errUnverified()
		}
		return ids.link(ctx, tx, p, u, who, token)
	})
	return u, found.TwoFactors, err
}

// link adds a provider's account to a locked account, notifies the user and records it.
func (ids *identities) link(ctx context.Context, tx database.Tx, p *provider, u user, who providerAccount, token *oauth2.Token) error {
	err := ids.attach(ctx, tx, p, u, who, token)
	if errors.Is(err, errConcurrent) {
		return errLinked()
	}
	if err != nil {
		return err
	}
	if err := ids.mailer.notify(ctx, tx, u, noticeLinked, linkedText(p.id)); err != nil {
		return err
	}
	if err := ids.audit(ctx, tx, auditLink, u.ID, p.id); err != nil {
		return err
	}
	return publish(ctx, ids.recorder, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"identities"}})
}
