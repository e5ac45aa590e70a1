package auth

import (
	"context"
	"errors"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// beginPasskeyRegistration starts the creation of a passkey. It refuses an account whose address is not verified:
// otherwise the owner of the address, verifying it later, would share the account with another person.
func (a *Actor) beginPasskeyRegistration(ctx context.Context, _ subjects.Empty) (subjects.PasskeyCeremony, error) {
	none := subjects.PasskeyCeremony{}
	caller := actors.CallerFrom(ctx)
	if err := a.credentials.requireRecentSignIn(caller); err != nil {
		return none, err
	}
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return none, err
	}
	if !u.EmailVerified {
		return none, errUnverified()
	}
	had, err := userPasskeys(ctx, a.DB.DB, u.ID, "", maxPasskeys)
	if err != nil {
		return none, err
	}
	if int64(len(had)) >= a.bounds.passkeys.Limit {
		return none, a.bounds.Refuse(a.bounds.passkeys)
	}
	who := passkeyUser{user: u, passkeys: had}
	creation, data, err := a.passkeys.site.BeginRegistration(who,
		webauthn.WithExclusions(webauthn.Credentials(who.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return none, err
	}
	c := ceremony{Purpose: purposeRegister, Challenge: data.Challenge, UserID: u.ID, SessionID: caller.SessionID}
	return a.passkeys.beginCeremony(ctx, c, creation.Response)
}

func (a *Actor) finishPasskeyRegistration(
	ctx context.Context, req subjects.FinishPasskeyRegistrationRequest,
) (subjects.Passkey, error) {
	caller := actors.CallerFrom(ctx)
	name, err := cleanName("name", req.Name)
	if err == nil && name == "" {
		err = subjects.InvalidField("name", "is empty")
	}
	if err == nil {
		err = checkCredentialSize(req.Credential)
	}
	if err != nil {
		return subjects.Passkey{}, err
	}
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return subjects.Passkey{}, err
	}
	c, err := a.passkeys.takeCeremony(ctx, req.CeremonyID, purposeRegister, caller)
	if errors.Is(err, errCeremony) {
		err = subjects.InvalidField("ceremony_id", "is unknown, used, expired or from another session; begin again")
	}
	if err != nil {
		return subjects.Passkey{}, err
	}
	answer, err := protocol.ParseCredentialCreationResponseBytes(req.Credential)
	if err != nil {
		return subjects.Passkey{}, badCredential("is not a RegistrationResponseJSON", err)
	}
	made, err := a.passkeys.site.CreateCredential(passkeyUser{user: u}, c.data(a.config.Passkeys.RPID), answer)
	if err != nil {
		return subjects.Passkey{}, badCredential("does not answer this ceremony", err)
	}
	p := newPasskey(a.NewID(), u.ID, name, made, a.Now().UTC())
	// Checked before sessions end, and again in the transaction.
	_, err = passkeyByCredential(ctx, a.DB.DB, p.CredentialID)
	if err == nil {
		err = errRegistered()
	}
	if !isNotFound(err) {
		return subjects.Passkey{}, err
	}
	err = a.sessions.changeAccount(ctx, u, caller.SessionID, endMFA, func(ctx context.Context, tx database.Tx, u user) error {
		return a.passkeys.add(ctx, tx, u, p)
	})
	if err == nil {
		err = a.sessions.markTwoFactors(ctx, u.ID, caller.SessionID)
	}
	return p.view(), err
}

func (a *Actor) listPasskeys(ctx context.Context, req subjects.ListPasskeysRequest) (subjects.Page[subjects.Passkey], error) {
	after, err := idCursor(req.Cursor)
	if err != nil {
		return subjects.Page[subjects.Passkey]{}, err
	}
	list, err := userPasskeys(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, after, req.PageLimit()+1)
	return pageOf(list, req.PageLimit(), passkey.view, func(p passkey) string { return p.ID }), err
}

// deletePasskey removes a passkey. All other sessions of the account end, because the passkey may have opened them.
func (a *Actor) deletePasskey(ctx context.Context, req subjects.DeletePasskeyRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	if err := a.credentials.requireRecentSignIn(caller); err != nil {
		return subjects.Empty{}, err
	}
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return subjects.Empty{}, err
	}
	p, err := passkeyOf(ctx, a.DB.DB, u.ID, req.PasskeyID)
	if err != nil {
		return subjects.Empty{}, err
	}
	// Checked before sessions end, and again in the transaction. A suspended passkey signs nobody in.
	if !p.Suspended {
		if err := a.oauth.checkOtherCredential(ctx, a.DB, u, p.ID); err != nil {
			return subjects.Empty{}, err
		}
	}
	keep, err := a.keptWithoutPasskey(ctx, u, p.ID, caller.SessionID)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.sessions.changeAccount(ctx, u, keep, endMFA, func(ctx context.Context, tx database.Tx, u user) error {
		p, err := passkeyOf(ctx, tx, u.ID, p.ID)
		if err != nil {
			return err
		}
		if !p.Suspended {
			if err := a.oauth.checkOtherCredential(ctx, a.DB, u, p.ID); err != nil {
				return err
			}
		}
		if err := deletePasskey(ctx, tx, p.ID); err != nil {
			return err
		}
		return a.passkeys.recordChange(ctx, tx, u, p, auditPasskeyOff, passkeyRemovedText(p.Name))
	})
}

// keptWithoutPasskey returns the session that survives the removal of a passkey (Config.keptSession).
func (a *Actor) keptWithoutPasskey(ctx context.Context, u user, removed, sessionID string) (string, error) {
	on, err := hasTOTP(ctx, a.DB.DB, u.ID)
	if err != nil || on {
		return sessionID, err
	}
	all, err := userPasskeys(ctx, a.DB.DB, u.ID, "", maxPasskeys)
	return a.config.keptSession(u, credentialSet{passkeys: all}.activePasskeys(removed), sessionID), err
}

func errRegistered() error {
	return subjects.Errorf(subjects.CodeConflict, "this passkey is registered already")
}
