package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// passkeys verifies WebAuthn's messages and keeps what is under way.
type passkeys struct {
	site       *webauthn.WebAuthn
	ceremonies *kv.Bucket[ceremony]
}

func openPasskeys(ctx context.Context, deps actors.Deps, config PasskeyConfig) (*passkeys, error) {
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
	return &passkeys{site: site, ceremonies: ceremonies}, nil
}

// beginCeremony keeps a ceremony and answers with what the browser takes.
func (a *Actor) beginCeremony(ctx context.Context, c ceremony, options any) (subjects.PasskeyCeremony, error) {
	ttl := a.config.Passkeys.CeremonyTTL
	c.ExpiresAt = a.Now().UTC().Add(ttl)
	message, err := json.Marshal(options)
	if err != nil {
		return subjects.PasskeyCeremony{}, fmt.Errorf("encoding a ceremony: %w", err)
	}
	id, hash := newLetterToken()
	if _, err := a.passkeys.ceremonies.Create(ctx, hash, c, ttl); err != nil {
		return subjects.PasskeyCeremony{}, err
	}
	return subjects.PasskeyCeremony{CeremonyID: id, Options: message, ExpiresIn: int(ttl.Seconds())}, nil
}

// takeCeremony finds a ceremony and uses it up: of any number who finish it at once one gets it. It is not used up by
// who may not finish it. errCeremony where it is not good.
func (a *Actor) takeCeremony(ctx context.Context, id, purpose string, caller actors.Caller) (ceremony, error) {
	key := hashToken(id)
	found, err := a.passkeys.ceremonies.Get(ctx, key)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return ceremony{}, err
	}
	if err != nil || !found.Value.belongs(purpose, caller.UserID, caller.SessionID, a.Now()) {
		return ceremony{}, errCeremony
	}
	err = a.passkeys.ceremonies.DeleteRevision(ctx, key, found.Revision)
	if errors.Is(err, kv.ErrConflict) {
		return ceremony{}, errCeremony
	}
	return found.Value, err
}

// errCeremony says that a ceremony is unknown, used, over, or somebody else's.
var errCeremony = errors.New("no such ceremony")

// tooLarge refuses more of a credential than any authenticator sends.
func tooLarge(credential json.RawMessage) error {
	if len(credential) > maxCredential {
		return subjects.InvalidField("credential", "is longer than %d bytes", maxCredential)
	}
	return nil
}

// badCredential refuses a credential; the reason is logged and not told.
func badCredential(reason string, cause error) error {
	e := subjects.InvalidField("credential", "%s", reason)
	e.Cause = cause
	return e
}
