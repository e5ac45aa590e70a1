package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// errRaced says that another sign-in was faster and changed what this one stands on: look again.
var errRaced = errors.New("another sign-in was faster")

// looks bounds how often a sign-in looks again.
const looks = 4

// accountOf finds the account of who signed in at a provider, or opens one. With an error comes the account that it
// is about, where there is one.
func (a *Actor) accountOf(ctx context.Context, p *provider, who account, token *oauth2.Token) (user, error) {
	for range looks {
		u, err := a.signedInBefore(ctx, p, who, token)
		if subjects.CodeOf(err) == subjects.CodeNotFound {
			u, err = a.newcomer(ctx, p, who, token)
		}
		if !errors.Is(err, errRaced) {
			return u, err
		}
	}
	return user{}, &subjects.Error{Code: subjects.CodeConflict, Detail: "too many sign-ins at once", Cause: errRaced}
}

// signedInBefore finds the account by the provider's issuer and subject; CodeNotFound where there is none.
func (a *Actor) signedInBefore(ctx context.Context, p *provider, who account, token *oauth2.Token) (user, error) {
	var u user
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		i, err := identityOf(ctx, tx, who.Issuer, who.Subject)
		if err != nil {
			return err
		}
		if u, err = userByID(ctx, tx, i.UserID); err != nil {
			return err
		}
		if u.Disabled {
			return errShut()
		}
		if i, err = a.withTokens(i.told(who, a.Now().UTC()), token); err != nil {
			return err
		}
		i.Version++
		if err := saveIdentity(ctx, tx, i); err != nil {
			return err
		}
		return a.auditIdentity(ctx, tx, auditOAuth, u.ID, p.id)
	})
	return u, err
}

// newcomer opens an account for who signs in for the first time. The provider's word on an address decides nothing but
// what becomes of an account that nobody has proved to be theirs.
func (a *Actor) newcomer(ctx context.Context, p *provider, who account, token *oauth2.Token) (user, error) {
	email, err := normalEmail(who.Email)
	if err != nil || !who.Vouched {
		return user{}, errNoVouch()
	}
	u, err := userByEmail(ctx, a.DB.DB, email)
	switch {
	case subjects.CodeOf(err) == subjects.CodeNotFound:
		return a.open(ctx, p, email, who, token)
	case err != nil:
		return user{}, err
	case u.Disabled:
		return u, errShut()
	case u.EmailVerified:
		// Perhaps it is the account that another sign-in with this identity has just opened.
		_, err := identityOf(ctx, a.DB.DB, who.Issuer, who.Subject)
		switch {
		case err == nil:
			return user{}, errRaced
		case subjects.CodeOf(err) == subjects.CodeNotFound:
			err = errTaken()
		}
		return u, err
	}
	return a.claim(ctx, p, u, who, token)
}

// open opens an account without a password.
func (a *Actor) open(ctx context.Context, p *provider, email string, who account, token *oauth2.Token) (user, error) {
	now := a.Now().UTC()
	u := who.fill(user{
		ID: a.NewID(), Email: email, EmailVerified: true, Roles: []string{subjects.RoleUser}, SecondFactor: factorDefault, CreatedAt: now, UpdatedAt: now,
	})
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		other, err := addUser(ctx, tx, u)
		if err == nil && other != nil {
			err = errRaced
		}
		if err != nil {
			return err
		}
		if err := a.attach(ctx, tx, p, u, who, token); err != nil {
			return err
		}
		a.DB.AfterCommit(ctx, a.metrics.registrations.Inc)
		if err := tell(ctx, a, tx, subjects.UserRegisteredEvent, u.ID, subjects.UserRegistered{UserID: u.ID}); err != nil {
			return err
		}
		return a.auditIdentity(ctx, tx, auditRegister, u.ID, p.id)
	})
	return u, err
}

// claim gives an account whose address nobody had verified to the address's owner, without the password and the names of
// whoever opened it.
func (a *Actor) claim(ctx context.Context, p *provider, u user, who account, token *oauth2.Token) (user, error) {
	var mine user
	err := a.replaceOwner(ctx, u, func(ctx context.Context, tx database.Tx, now user) error {
		if now.EmailVerified || now.Disabled || now.Email != u.Email {
			return errRaced
		}
		if err := voidLetters(ctx, tx, now.ID, forVerification, forReset); err != nil {
			return err
		}
		mine = who.fill(now)
		mine.EmailVerified, mine.Contested, mine.PasswordHash = true, false, ""
		columns := []string{
			"email_verified", "contested", "password_hash", "epoch", "first_name", "last_name", "avatar_url", "locale", "time_zone",
		}
		if err := saveUser(ctx, tx, mine, columns...); err != nil {
			return err
		}
		if err := a.attach(ctx, tx, p, mine, who, token); err != nil {
			return err
		}
		if err := a.notify(ctx, tx, mine, claimedText(p.id)); err != nil {
			return err
		}
		if err := a.auditIdentity(ctx, tx, auditClaim, mine.ID, p.id); err != nil {
			return err
		}
		told := subjects.UserUpdated{UserID: mine.ID, Fields: []string{
			"email_verified", "first_name", "last_name", "avatar_url", "locale", "time_zone", "identities",
		}}
		return tell(ctx, a, tx, subjects.UserUpdatedEvent, mine.ID, told)
	})
	if err != nil {
		return u, err
	}
	return mine, nil
}

// attach adds an identity to an account that has just been opened or locked; errRaced where it belongs to another.
func (a *Actor) attach(ctx context.Context, tx database.Tx, p *provider, u user, who account, token *oauth2.Token) error {
	now := a.Now().UTC()
	i := identity{
		ID: a.NewID(), UserID: u.ID, Provider: p.id, Issuer: who.Issuer, Subject: who.Subject, CreatedAt: now,
	}.told(who, now)
	i, err := a.withTokens(i, token)
	if err != nil {
		return err
	}
	added, err := addIdentity(ctx, tx, i)
	if err == nil && !added {
		err = errRaced
	}
	return err
}

// withTokens seals a provider's tokens into an identity.
func (a *Actor) withTokens(i identity, token *oauth2.Token) (identity, error) {
	plain, err := json.Marshal(tokensOf(token)) //nolint:gosec // sealed before it goes anywhere
	if err != nil {
		return i, fmt.Errorf("encoding tokens: %w", err)
	}
	i.Sealed, err = a.Sealer.Seal(plain, identityContext(i.ID))
	i.RefreshAt = refreshAt(token, a.Now().UTC(), a.config.OAuth.RefreshBefore)
	return i, err
}

func (a *Actor) auditIdentity(ctx context.Context, tx database.Tx, action, userID, provider string) error {
	return a.audit(ctx, tx, entry{
		action: action, outcome: auditSuccess, userID: userID, detail: map[string]string{"provider": provider},
	})
}
