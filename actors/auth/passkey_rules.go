package auth

import (
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/weftmesh/weft/subjects"
)

// PasskeyConfig says for which site passkeys are made. A passkey is good for its site alone, for ever: whoever changes
// RPID makes every passkey useless.
type PasskeyConfig struct {
	// RPID is the site's domain: that of the pages where users sign in, or one above it. Browsers take localhost for
	// trying out, and never an IP address: open http://localhost:8080, not http://127.0.0.1:8080.
	RPID string `koanf:"rp_id"`
	// RPName is what authenticators call the site.
	RPName string `koanf:"rp_name"`
	// Origins are those pages' origins, character by character: https, or http on localhost, with the port unless it is
	// the scheme's own.
	Origins []string `koanf:"origins"`
	// CeremonyTTL is how long the making or the use of a passkey may take.
	CeremonyTTL time.Duration `koanf:"ceremony_ttl"`
}

func defaultPasskeyConfig() PasskeyConfig {
	return PasskeyConfig{
		RPID: "localhost", RPName: "weft", Origins: []string{"http://localhost:8080"}, CeremonyTTL: 5 * time.Minute,
	}
}

// goodOrigin tells whether a browser would use passkeys of the site on pages of an origin.
func (c PasskeyConfig) goodOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin {
		return false
	}
	host := u.Hostname()
	if host != c.RPID && !strings.HasSuffix(host, "."+c.RPID) {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || strings.HasSuffix(host, ".localhost"))
}

const (
	// maxPasskeys is how many a user may have.
	maxPasskeys = 20
	// maxCredential bounds what a browser sends, in bytes.
	maxCredential = 32 << 10
	// byPasskey is the method of sessions that a passkey opened: possession, and what the authenticator verifies.
	byPasskey = "passkey"
)

// What a ceremony is for.
const (
	toRegister = "register"
	toSignIn   = "sign_in"
)

// ceremony is the making or the use of a passkey under way. The bucket auth_ceremonies keeps it under a hash of its id.
type ceremony struct {
	Purpose   string    `json:"purpose"`
	Challenge string    `json:"challenge"`
	ExpiresAt time.Time `json:"expires_at"`
	// UserID and SessionID are those of who makes a passkey; empty for a sign-in.
	UserID    string `json:"user_id,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	// Replaces is the session that a client which signs in had as it began.
	Replaces sessionRef `json:"replaces,omitzero"`
}

// belongs tells whether a ceremony is good, still, for who would finish it.
func (c ceremony) belongs(purpose, userID, sessionID string, now time.Time) bool {
	return c.Purpose == purpose && c.UserID == userID && c.SessionID == sessionID && now.Before(c.ExpiresAt)
}

// data is what the library verifies against. Its own clock is not used: belongs has asked ours.
func (c ceremony) data(rpID string) webauthn.SessionData {
	data := webauthn.SessionData{
		Challenge: c.Challenge, RelyingPartyID: rpID, UserVerification: protocol.VerificationRequired,
	}
	if c.Purpose == toRegister {
		data.UserID, data.CredParams = []byte(c.UserID), webauthn.CredentialParametersDefault()
	}
	return data
}

// passkey is a credential with which a user can sign in.
type passkey struct {
	ID, UserID   string
	CredentialID []byte
	PublicKey    []byte // COSE
	Name         string
	Transports   []string
	SignCount    uint32
	// BackupEligible never changes; BackedUp may.
	BackupEligible, BackedUp bool
	// Suspended: its count went back, so that there may be a copy.
	Suspended bool
	CreatedAt time.Time
	// UsedAt is when it last signed in; zero for never.
	UsedAt time.Time
}

// newPasskey makes a passkey of a verified credential.
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

// knownTransport accepts the registered values: what else a client says is not kept (WebAuthn Level 3 §5.8.4).
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

func (p passkey) shown() subjects.Passkey {
	status := "active"
	if p.Suspended {
		status = "suspended"
	}
	return subjects.Passkey{
		ID: p.ID, Name: p.Name, Status: status, Synced: p.BackedUp, CreatedAt: p.CreatedAt, LastUsedAt: p.UsedAt,
	}
}

// passkeyUser is an account as the library sees it. Its handle, which authenticators keep, is the account's id: it
// tells nothing else of the user (WebAuthn Level 3 §14.6.1).
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

func passkeyAddedText(name string) text {
	return text{"A passkey was added to your account", "From now on you can sign in to weft with the passkey “" + name +
		"”. If it was not you who added it, remove it and change your password.\n"}
}

func passkeyRemovedText(name string) text {
	return text{"A passkey was removed from your account", "You cannot sign in to weft with the passkey “" + name +
		"” any more. If it was not you who removed it, ask for a new password at once.\n"}
}

func passkeyCopiedText(name string) text {
	return text{"A passkey of yours was suspended", "The passkey “" + name + "” answered as a copy of it would, and we did not let " +
		"it sign in. It signs in no more: remove it, and make a new one with an authenticator that you trust.\n"}
}
