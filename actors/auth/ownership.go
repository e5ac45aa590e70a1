package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// ownership verifies and changes the address of an account. The owner of an address need not be the person who
// registered the account: when an unverified account turns out to belong to someone else, ownership removes everything
// that the registrant could use to get in.
type ownership struct {
	actors.Deps

	config   Config
	sessions *sessions
	apiKeys  *apiKeys
	mailer   *mailer
	recorder *recorder
}

// verify marks the address of an account verified. The account keeps its password only if it was registered once;
// otherwise the password may be a stranger's (see verifyDuplicate).
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

// verifyDuplicate verifies an account that was registered more than once. It deletes what any of the registrants set,
// including the password and the names, and sends the owner of the address a message to set a new password.
func (o *ownership) verifyDuplicate(ctx context.Context, msg message, u user) error {
	return o.replaceOwner(ctx, u, func(ctx context.Context, tx database.Tx, u user) error {
		u.PasswordHash, u.FirstName, u.LastName, u.AvatarURL = "", "", "", ""
		if err := o.markVerified(ctx, tx, msg, u, "password_hash", "epoch", "first_name", "last_name", "avatar_url"); err != nil {
			return err
		}
		token, hash := newPasskeyDevice()
		reset := message{UserID: u.ID, Email: u.Email, Purpose: purposeReset, TokenHash: hash}
		return o.mailer.send(ctx, tx, reset, duplicateRegistrationText(o.config.ResetURL, token, o.config.TokenTTL))
	})
}

// replaceOwner makes a change that hands an unverified account to the owner of its address. The account's sessions, API
// keys, second factors, identities and pending address changes are deleted, because a stranger may have set them up.
func (o *ownership) replaceOwner(ctx context.Context, u user, change func(context.Context, database.Tx, user) error) error {
	if err := o.apiKeys.revokeTokens(ctx, u.ID); err != nil {
		return err
	}
	var keys []apiKey
	err := o.sessions.changeAccount(ctx, u, "", endPassword, func(ctx context.Context, tx database.Tx, u user) error {
		var err error
		if keys, err = userAPIKeys(ctx, tx, u.ID, "", maxAPIKeys); err != nil {
			return err
		}
		if err := deleteCredentials(ctx, tx, u.ID); err != nil {
			return err
		}
		return change(ctx, tx, u)
	})
	if err != nil {
		return err
	}
	return o.apiKeys.revokeTokensOf(ctx, u.ID, keys)
}

// deleteCredentials deletes the credentials of an unverified account except its password: API keys, second factors,
// identities and the tokens of pending address changes. An unverified account cannot have passkeys.
func deleteCredentials(ctx context.Context, tx database.Tx, userID string) error {
	for _, remove := range []func(context.Context, database.Tx, string) error{deleteUserAPIKeys, deleteSecondFactors, deleteIdentities} {
		if err := remove(ctx, tx, userID); err != nil {
			return err
		}
	}
	return voidTokens(ctx, tx, userID, purposeChangeEmail)
}

// markVerified consumes the message's token and saves the account as verified, with further columns of u.
func (o *ownership) markVerified(ctx context.Context, tx database.Tx, msg message, u user, columns ...string) error {
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
	if err := saveUser(ctx, tx, u, append(columns, "email_verified", "contested")...); err != nil {
		return err
	}
	if err := o.recorder.audit(ctx, tx, auditEntry{action: auditVerify, outcome: auditSuccess, userID: u.ID}); err != nil {
		return err
	}
	return publish(ctx, o.recorder, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"email_verified"}})
}

// changeEmail sets the account's address to the one that the message verified, and notifies the old address.
func (o *ownership) changeEmail(ctx context.Context, msg message, u user) error {
	err := o.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		now, err := lockUser(ctx, tx, u.ID)
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
		if err := o.mailer.send(ctx, tx, message{UserID: now.ID, Email: old, Purpose: purposeNotice}, emailChangedText(msg.Email)); err != nil {
			return err
		}
		if err := o.recorder.audit(ctx, tx, auditEntry{action: auditEmailChange, outcome: auditSuccess, userID: now.ID}); err != nil {
			return err
		}
		updated := subjects.UserUpdated{UserID: now.ID, Fields: []string{"email", "email_verified"}}
		return publish(ctx, o.recorder, tx, subjects.UserUpdatedEvent, now.ID, updated)
	})
	if database.IsUnique(err) {
		return subjects.Errorf(subjects.CodeConflict, "another account has taken this address meanwhile")
	}
	return err
}
