package auth

import (
	"context"
	"errors"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// beginPasskeyRegistration begins to make a passkey. An account whose address is not verified gets none: who verifies
// it later would have a stranger's way in beside their own.
func (a *Actor) beginPasskeyRegistration(ctx context.Context, _ subjects.Empty) (subjects.PasskeyCeremony, error) {
	none := subjects.PasskeyCeremony{}
	caller := actors.CallerFrom(ctx)
	if err := a.callerFresh(caller); err != nil {
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
	if len(had) == maxPasskeys {
		return none, errPasskeys()
	}
	who := passkeyUser{user: u, passkeys: had}
	creation, data, err := a.passkeys.site.BeginRegistration(who,
		webauthn.WithExclusions(webauthn.Credentials(who.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return none, err
	}
	c := ceremony{Purpose: toRegister, Challenge: data.Challenge, UserID: u.ID, SessionID: caller.SessionID}
	return a.beginCeremony(ctx, c, creation.Response)
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
		err = tooLarge(req.Credential)
	}
	if err != nil {
		return subjects.Passkey{}, err
	}
	u, err := userByID(ctx, a.DB.DB, caller.UserID)
	if err != nil {
		return subjects.Passkey{}, err
	}
	c, err := a.takeCeremony(ctx, req.CeremonyID, toRegister, caller)
	if errors.Is(err, errCeremony) {
		err = subjects.InvalidField("ceremony_id", "is none of this session's, or was used, or is over: begin again")
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
	// Asked before anybody is signed out, and again where it counts.
	_, err = passkeyByCredential(ctx, a.DB.DB, p.CredentialID)
	if err == nil {
		err = errRegistered()
	}
	if subjects.CodeOf(err) != subjects.CodeNotFound {
		return subjects.Passkey{}, err
	}
	err = a.replaceSessions(ctx, u, caller.SessionID, endMFA, func(ctx context.Context, tx database.Tx, u user) error {
		return a.putPasskey(ctx, tx, u, p)
	})
	if err == nil {
		err = a.enrolled(ctx, u.ID, caller.SessionID)
	}
	return p.shown(), err
}

// putPasskey adds a passkey to an account that is locked, and tells of it.
func (a *Actor) putPasskey(ctx context.Context, tx database.Tx, u user, p passkey) error {
	had, err := userPasskeys(ctx, tx, u.ID, "", maxPasskeys)
	if err == nil && len(had) == maxPasskeys {
		err = errPasskeys()
	}
	if err != nil {
		return err
	}
	added, err := addPasskey(ctx, tx, p)
	if err == nil && !added {
		err = errRegistered()
	}
	if err != nil {
		return err
	}
	return a.tellPasskey(ctx, tx, u, p, auditPasskeyOn, passkeyAddedText(p.Name))
}

// tellPasskey saves the account's next epoch and tells of a change of its passkeys.
func (a *Actor) tellPasskey(ctx context.Context, tx database.Tx, u user, p passkey, action string, says text) error {
	if err := saveUser(ctx, tx, u, "epoch"); err != nil {
		return err
	}
	if err := a.notify(ctx, tx, u, says); err != nil {
		return err
	}
	if err := a.audit(ctx, tx, passkeyEntry(action, auditSuccess, p)); err != nil {
		return err
	}
	return tell(ctx, a, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"passkeys"}})
}

func passkeyEntry(action, outcome string, p passkey) entry {
	return entry{action: action, outcome: outcome, userID: p.UserID, detail: map[string]string{"passkey_id": p.ID}}
}

func (a *Actor) listPasskeys(ctx context.Context, req subjects.ListPasskeysRequest) (subjects.Page[subjects.Passkey], error) {
	page := subjects.Page[subjects.Passkey]{Items: []subjects.Passkey{}}
	list, err := userPasskeys(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, req.Cursor, req.PageLimit()+1)
	if err != nil {
		return page, err
	}
	if len(list) > req.PageLimit() {
		list = list[:req.PageLimit()]
		page.NextCursor = list[len(list)-1].ID
	}
	for _, p := range list {
		page.Items = append(page.Items, p.shown())
	}
	return page, nil
}

// deletePasskey removes a passkey. Every other session of the account ends: one may be of whoever had the passkey.
func (a *Actor) deletePasskey(ctx context.Context, req subjects.DeletePasskeyRequest) (subjects.Empty, error) {
	caller := actors.CallerFrom(ctx)
	if err := a.callerFresh(caller); err != nil {
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
	// Asked before anybody is signed out, and again where it counts.
	all, err := userWaysIn(ctx, a.DB.DB, u.ID)
	if err == nil {
		err = a.keepsWayInBeside(u, p, all)
	}
	if err != nil {
		return subjects.Empty{}, err
	}
	keep, err := a.keptBeside(ctx, u, p, all, caller.SessionID)
	if err != nil {
		return subjects.Empty{}, err
	}
	return subjects.Empty{}, a.replaceSessions(ctx, u, keep, endMFA, func(ctx context.Context, tx database.Tx, u user) error {
		p, err := passkeyOf(ctx, tx, u.ID, p.ID)
		if err != nil {
			return err
		}
		all, err := userWaysIn(ctx, tx, u.ID)
		if err == nil {
			err = a.keepsWayInBeside(u, p, all)
		}
		if err != nil {
			return err
		}
		if err := dropPasskey(ctx, tx, p.ID); err != nil {
			return err
		}
		return a.tellPasskey(ctx, tx, u, p, auditPasskeyOff, passkeyRemovedText(p.Name))
	})
}

// keptBeside is the session that may go on when a passkey is removed (keptWithout).
func (a *Actor) keptBeside(ctx context.Context, u user, removed passkey, all waysIn, sessionID string) (string, error) {
	factor, err := totpOf(ctx, a.DB.DB, u.ID)
	if err != nil || factor != nil && factor.Confirmed {
		return sessionID, err
	}
	left := slices.DeleteFunc(slices.Clone(all.passkeys), func(p passkey) bool { return p.Suspended || p.ID == removed.ID })
	return a.keptWithout(u, len(left), sessionID), nil
}

// keepsWayInBeside refuses to remove a passkey if its user could not sign in without it.
func (a *Actor) keepsWayInBeside(u user, removed passkey, all waysIn) error {
	if removed.Suspended {
		return nil // it is no way in
	}
	others := 0
	for _, p := range all.passkeys {
		if p.ID != removed.ID && !p.Suspended {
			others++
		}
	}
	for _, i := range all.identities {
		if _, configured := a.oauth.providers[i.Provider]; configured {
			others++
		}
	}
	return lastWayIn(u, others)
}

func errPasskeys() error {
	return subjects.Errorf(subjects.CodeConflict, "there are %d passkeys already; remove one first", maxPasskeys)
}

func errRegistered() error {
	return subjects.Errorf(subjects.CodeConflict, "this passkey is registered already")
}
