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

func (a *Actor) beginPasskeyLogin(ctx context.Context, _ subjects.Empty) (subjects.PasskeyCeremony, error) {
	assertion, data, err := a.passkeys.site.BeginDiscoverableLogin()
	if err != nil {
		return subjects.PasskeyCeremony{}, err
	}
	return a.beginCeremony(ctx, ceremony{Purpose: toSignIn, Challenge: data.Challenge, Replaces: sessionOf(ctx)}, assertion.Response)
}

// finishPasskeyLogin signs an account in. What is refused for whatever reason answers alike; the audit has as much of
// whom it is about as was proved or claimed.
func (a *Actor) finishPasskeyLogin(ctx context.Context, req subjects.FinishPasskeyLoginRequest) (subjects.Session, error) {
	res, p, err := a.passkeySignIn(ctx, req)
	a.metrics.login(res, err)
	if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
		failed := entry{action: auditLogin, outcome: auditFailure, userID: p.UserID, detail: map[string]string{"method": byPasskey}}
		if p.ID != "" {
			failed.detail["passkey_id"] = p.ID
		}
		noted := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.audit(ctx, tx, failed) })
		if noted != nil {
			return subjects.Session{}, noted
		}
	}
	return res, err
}

// passkeySignIn also names the passkey that is concerned, as far as it is known when it fails.
func (a *Actor) passkeySignIn(ctx context.Context, req subjects.FinishPasskeyLoginRequest) (subjects.Session, passkey, error) {
	none := subjects.Session{}
	if err := tooLarge(req.Credential); err != nil {
		return none, passkey{}, err
	}
	c, err := a.takeCeremony(ctx, req.CeremonyID, toSignIn, actors.Caller{})
	if errors.Is(err, errCeremony) {
		err = errPasskey(err)
	}
	if err != nil {
		return none, passkey{}, err
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes(req.Credential)
	if err != nil {
		return none, passkey{}, badCredential("is not an AuthenticationResponseJSON", err)
	}
	p, err := passkeyByCredential(ctx, a.DB.DB, answer.RawID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		err = errPasskey(err)
	}
	if err != nil {
		return none, p, err
	}
	// Read before the passkey is used: who removes it after that ends, by the account's epoch, what starts here.
	u, err := userByID(ctx, a.DB.DB, p.UserID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		err = errPasskey(err)
	}
	if err != nil {
		return none, p, err
	}
	who := passkeyUser{user: u, passkeys: []passkey{p}}
	owner := func(_, _ []byte) (webauthn.User, error) { return who, nil }
	_, proved, err := a.passkeys.site.ValidatePasskeyLogin(owner, c.data(a.config.Passkeys.RPID), answer)
	if err != nil {
		return none, p, errPasskey(err)
	}
	if u.Disabled || a.mustVerify(u) {
		return none, p, errPasskey(nil)
	}
	count := answer.Response.AuthenticatorData.Counter
	good, err := a.usePasskey(ctx, u, p, count, proved.Flags.BackupState)
	if err == nil && !good {
		err = errPasskey(nil)
	}
	if err != nil {
		return none, p, err
	}
	res, err := a.startSession(ctx, u, signIn{method: byPasskey, twoFactors: true, replaces: c.Replaces})
	return res, p, err
}

// usePasskey takes note of a proof by its signature count. One that is not above every earlier one may come of a copy:
// the passkey is suspended and its user told (WebAuthn Level 3 §6.1.1).
func (a *Actor) usePasskey(ctx context.Context, u user, p passkey, count uint32, backedUp bool) (bool, error) {
	var good bool
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		var err error
		if good, err = usePasskey(ctx, tx, p.ID, count, backedUp, a.Now()); err != nil || good {
			return err
		}
		suspended, err := suspendPasskey(ctx, tx, p.ID)
		if err != nil || !suspended {
			return err
		}
		if err := a.notify(ctx, tx, u, passkeyCopiedText(p.Name)); err != nil {
			return err
		}
		return a.audit(ctx, tx, passkeyEntry(auditPasskeyCopy, auditFailure, p))
	})
	return good, err
}

func errPasskey(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnauthenticated, Detail: "the passkey is not good, or it came too late: begin again", Cause: cause,
	}
}
