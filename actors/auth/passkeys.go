package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// passkeys holds the WebAuthn relying party and the pending ceremonies, and changes the passkeys of accounts.
type passkeys struct {
	actors.Deps

	config     PasskeyConfig
	site       *webauthn.WebAuthn
	ceremonies *kv.Bucket[ceremony]
	mailer     *mailer
	recorder   *recorder
	bounds     *bounds
}

// openPasskeys configures the relying party and opens the bucket of ceremonies.
func openPasskeys(ctx context.Context, deps actors.Deps, config PasskeyConfig, m *mailer, r *recorder, b *bounds) (*passkeys, error) {
	discoverable := true
	timeout := webauthn.TimeoutConfig{Timeout: config.CeremonyTTL, TimeoutUVD: config.CeremonyTTL}
	site, err := webauthn.New(&webauthn.Config{
		RPID: config.RPID, RPDisplayName: config.RPName, RPOrigins: config.Origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &discoverable, ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
	})
	if err != nil {
		return nil, fmt.Errorf("setting up passkeys: %w", err)
	}
	ceremonies, err := kv.Open[ceremony](ctx, deps.Conn.JS, kv.AuthCeremonies)
	if err != nil {
		return nil, err
	}
	return &passkeys{Deps: deps, config: config, site: site, ceremonies: ceremonies, mailer: m, recorder: r, bounds: b}, nil
}

// beginCeremony stores a ceremony and returns the options for the browser.
func (ks *passkeys) beginCeremony(ctx context.Context, c ceremony, options any) (subjects.PasskeyCeremony, error) {
	ttl := ks.config.CeremonyTTL
	c.ExpiresAt = ks.Now().UTC().Add(ttl)
	message, err := json.Marshal(options)
	if err != nil {
		return subjects.PasskeyCeremony{}, fmt.Errorf("encoding a ceremony: %w", err)
	}
	id, hash := newToken()
	if _, err := ks.ceremonies.Create(ctx, hash, c, ttl); err != nil {
		return subjects.PasskeyCeremony{}, err
	}
	return subjects.PasskeyCeremony{CeremonyID: id, Options: message, ExpiresIn: int(ttl.Seconds())}, nil
}

// takeCeremony consumes a ceremony; of concurrent calls one succeeds. A caller that may not finish the ceremony does
// not consume it. The error is errCeremony if there is no such ceremony for the caller.
func (ks *passkeys) takeCeremony(ctx context.Context, id, purpose string, caller actors.Caller) (ceremony, error) {
	key := hashToken(id)
	found, err := ks.ceremonies.Get(ctx, key)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return ceremony{}, err
	}
	if err != nil || !found.Value.allows(purpose, caller.UserID, caller.SessionID, ks.Now()) {
		return ceremony{}, errCeremony
	}
	err = ks.ceremonies.DeleteRevision(ctx, key, found.Revision)
	if errors.Is(err, kv.ErrConflict) {
		return ceremony{}, errCeremony
	}
	return found.Value, err
}

// errCeremony means that a ceremony is unknown, used, expired, or another caller's.
var errCeremony = errors.New("no such ceremony")

// checkCredentialSize returns CodeInvalid if a credential is larger than any authenticator's.
func checkCredentialSize(credential json.RawMessage) error {
	if len(credential) > maxCredential {
		return subjects.InvalidField("credential", "is longer than %d bytes", maxCredential)
	}
	return nil
}

// badCredential returns CodeInvalid with the reason. The cause is only logged.
func badCredential(reason string, cause error) error {
	e := subjects.InvalidField("credential", "%s", reason)
	e.Cause = cause
	return e
}

// add adds a passkey to an account that the transaction has locked, and records it.
func (ks *passkeys) add(ctx context.Context, tx database.Tx, u user, p passkey) error {
	if err := ks.bounds.Reserve(ctx, tx, ks.bounds.passkeys, u.ID, 1); err != nil {
		return err
	}
	added, err := addPasskey(ctx, tx, p)
	if err == nil && !added {
		err = errRegistered()
	}
	if err != nil {
		return err
	}
	return ks.recordChange(ctx, tx, u, p, auditPasskeyOn, passkeyAddedText(p.Name))
}

// recordChange saves the account's next epoch, notifies the user, and audits and publishes a change of its passkeys.
func (ks *passkeys) recordChange(ctx context.Context, tx database.Tx, u user, p passkey, action string, text messageText) error {
	if err := saveUser(ctx, tx, u, "epoch"); err != nil {
		return err
	}
	if err := ks.mailer.notify(ctx, tx, u, noticeFactor+action, text); err != nil {
		return err
	}
	if err := ks.recorder.audit(ctx, tx, passkeyEntry(action, auditSuccess, p)); err != nil {
		return err
	}
	return publish(ctx, ks.recorder, tx, subjects.UserUpdatedEvent, u.ID, subjects.UserUpdated{UserID: u.ID, Fields: []string{"passkeys"}})
}

func passkeyEntry(action, outcome string, p passkey) auditEntry {
	return auditEntry{action: action, outcome: outcome, userID: p.UserID, detail: map[string]string{"passkey_id": p.ID}}
}

// recordUse records a sign-in with its signature count. It returns false and suspends the passkey if the count has not
// increased, which suggests a cloned authenticator (WebAuthn Level 3 §6.1.1).
func (ks *passkeys) recordUse(ctx context.Context, u user, p passkey, count uint32, backedUp bool) (bool, error) {
	var good bool
	err := ks.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		var err error
		if good, err = usePasskey(ctx, tx, p.ID, count, backedUp, ks.Now()); err != nil || good {
			return err
		}
		suspended, err := suspendPasskey(ctx, tx, p.ID)
		if err != nil || !suspended {
			return err
		}
		if err := ks.mailer.notify(ctx, tx, u, noticeFactor+auditPasskeyCopy, passkeyCopiedText(p.Name)); err != nil {
			return err
		}
		return ks.recorder.audit(ctx, tx, passkeyEntry(auditPasskeyCopy, auditFailure, p))
	})
	return good, err
}
