package auth

import (
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/weftmesh/weft/subjects"
)

const (
	// maxPasskeys bounds auth.passkeys_per_user: what fits into a ceremony's list of credentials.
	maxPasskeys = 20
	// maxCredential is the maximum size of a credential sent by a browser, in bytes.
	maxCredential = 32 << 10
	// byPasskey is the method of sign-ins with a passkey, which prove two factors: possession and the authenticator's
	// user verification.
	byPasskey = "passkey"
)

// Purposes of a ceremony.
const (
	purposeRegister = "register"
	purposeSignIn   = "sign_in"
)

// ceremony is the pending creation or use of a passkey. The bucket auth_ceremonies stores it under a hash of its ID.
type ceremony struct {
	Purpose   string    `json:"purpose"`
	Challenge string    `json:"challenge"`
	ExpiresAt time.Time `json:"expires_at"`
	// UserID and SessionID identify the user who creates a passkey; they are empty for a sign-in.
	UserID    string `json:"user_id,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	// Replaces is the session that the client had when the sign-in began.
	Replaces sessionRef `json:"replaces,omitzero"`
}

// allows reports whether the caller may finish the ceremony for the purpose, in time.
func (c ceremony) allows(purpose, userID, sessionID string, now time.Time) bool {
	return c.Purpose == purpose && c.UserID == userID && c.SessionID == sessionID && now.Before(c.ExpiresAt)
}

// data returns what the library verifies against. It sets no expiry, because allows has checked it.
func (c ceremony) data(rpID string) webauthn.SessionData {
	data := webauthn.SessionData{
		Challenge: c.Challenge, RelyingPartyID: rpID, UserVerification: protocol.VerificationRequired,
	}
	if c.Purpose == purposeRegister {
		data.UserID, data.CredParams = []byte(c.UserID), webauthn.CredentialParametersDefault()
	}
	return data
}

// passkey is a WebAuthn credential of a user.
type passkey struct {
	ID, UserID   string
	CredentialID []byte
	PublicKey    []byte // COSE_Key (RFC 9052)
	Name         string
	Transports   []string
	SignCount    uint32
	// BackupEligible never changes; BackedUp may.
	BackupEligible, BackedUp bool
	// Suspended is set if the signature count decreased, which suggests a cloned authenticator.
	Suspended bool
	CreatedAt time.Time
	// UsedAt is the last sign-in; zero for never.
	UsedAt time.Time
}

// newPasskey returns the passkey of a verified credential.
func newPasskey(id, userID, name string, c *webauthn.Credential, now time.Time) passkey {
	p := passkey{
		ID: id, UserID: userID, CredentialID: c.ID, PublicKey: c.PublicKey, Name: name, SignCount: c.Authenticator.SignCount,
		BackupEligible: c.Flags.BackupEligible, BackedUp: c.Flags.BackupState, CreatedAt: now,
	}
	for _, transport := range c.Transport {
		if knownTransport(transport) {
			p.Transports = append(p.Transports, string(transport))
		}
	}
	return p
}

// knownTransport reports whether a transport is registered; others are dropped (WebAuthn Level 3 §5.8.4).
func knownTransport(t protocol.AuthenticatorTransport) bool {
	switch t {
	case protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal:
		return true
	}
	return false
}

func (p passkey) credential() webauthn.Credential {
	c := webauthn.Credential{
		ID: p.CredentialID, PublicKey: p.PublicKey, Authenticator: webauthn.Authenticator{SignCount: p.SignCount},
		Flags: webauthn.CredentialFlags{
			UserPresent: true, UserVerified: true, BackupEligible: p.BackupEligible, BackupState: p.BackedUp,
		},
	}
	for _, transport := range p.Transports {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(transport))
	}
	return c
}

func (p passkey) view() subjects.Passkey {
	status := subjects.PasskeyActive
	if p.Suspended {
		status = subjects.PasskeySuspended
	}
	return subjects.Passkey{
		ID: p.ID, Name: p.Name, Status: status, Synced: p.BackedUp, CreatedAt: p.CreatedAt, LastUsedAt: p.UsedAt,
	}
}

// passkeyUser adapts an account to the library. The user handle, which authenticators store, is the account's ID,
// because it must contain no personal data (WebAuthn Level 3 §14.6.1).
type passkeyUser struct {
	user
	passkeys []passkey
}

func (u passkeyUser) WebAuthnID() []byte { return []byte(u.ID) }

func (u passkeyUser) WebAuthnName() string { return u.Email }

func (u passkeyUser) WebAuthnDisplayName() string {
	if name := strings.TrimSpace(u.FirstName + " " + u.LastName); name != "" {
		return name
	}
	return u.Email
}

func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential {
	list := make([]webauthn.Credential, 0, len(u.passkeys))
	for _, p := range u.passkeys {
		list = append(list, p.credential())
	}
	return list
}

func passkeyAddedText(name string) messageText {
	return messageText{subjects.TemplatePasskeyAdded, map[string]any{"name": name}}
}

func passkeyRemovedText(name string) messageText {
	return messageText{subjects.TemplatePasskeyRemoved, map[string]any{"name": name}}
}

func passkeyCopiedText(name string) messageText {
	return messageText{subjects.TemplatePasskeySuspended, map[string]any{"name": name}}
}
