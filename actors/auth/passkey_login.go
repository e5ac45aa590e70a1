package auth

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors/database"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) beginPasskeyLogin(ctx context.Context, _ subjects.Empty) (subjects.PasskeyCeremony, error) {
	assertion, data, err := a.passkeys.site.BeginDiscoverableLogin()
	if err != nil {
		return subjects.PasskeyCeremony{}, err
	}
	return a.passkeys.beginCeremony(ctx, ceremony{Purpose: purposeSignIn, Challenge: data.Challenge, Replaces: callerSession(ctx)}, assertion.Response)
}

// finishPasskeyLogin signs an account in with a passkey. All refusals get the same reply. The audit entry names the
// account and passkey as far as they are known.
func (a *Actor) finishPasskeyLogin(ctx context.Context, req subjects.FinishPasskeyLoginRequest) (subjects.Session, error) {
	res, p, err := a.passkeySignIn(ctx, req)
	a.metrics.login(res, err)
	if subjects.CodeOf(err) == subjects.CodeUnauthenticated {
		failed := auditEntry{action: auditLogin, outcome: auditFailure, userID: p.UserID, detail: map[string]string{"method": byPasskey}}
		if p.ID != "" {
			failed.detail["passkey_id"] = p.ID
		}
		noted := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return a.recorder.audit(ctx, tx, failed) })
		if noted != nil {
			return subjects.Session{}, noted
		}
	}
	return res, err
}

// passkeySignIn also returns the passkey, if it is known when the sign-in fails.
func (a *Actor) passkeySignIn(ctx context.Context, req subjects.FinishPasskeyLoginRequest) (subjects.Session, passkey, error) {
	none := subjects.Session{}
	if err := checkCredentialSize(req.Credential); err != nil {
		return none, passkey{}, err
	}
	c, err := a.passkeys.takeCeremony(ctx, req.CeremonyID, purposeSignIn, actors.Caller{})
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
	if isNotFound(err) {
		err = errPasskey(err)
	}
	if err != nil {
		return none, p, err
	}
	// The account is read before the passkey is used: if the passkey is removed afterwards, the account's next epoch
	// ends the session started here.
	u, err := userByID(ctx, a.DB.DB, p.UserID)
	if isNotFound(err) {
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
	if u.Disabled || a.config.requiresVerification(u) {
		return none, p, errPasskey(nil)
	}
	count := answer.Response.AuthenticatorData.Counter
	good, err := a.passkeys.recordUse(ctx, u, p, count, proved.Flags.BackupState)
	if err == nil && !good {
		err = errPasskey(nil)
	}
	if err != nil {
		return none, p, err
	}
	res, err := a.sessions.start(ctx, u, signIn{method: byPasskey, twoFactors: true, replaces: c.Replaces})
	return res, p, err
}

func errPasskey(cause error) error {
	return &subjects.Error{
		Code: subjects.CodeUnauthenticated, Detail: "invalid passkey or expired ceremony; begin again", Cause: cause,
	}
}
