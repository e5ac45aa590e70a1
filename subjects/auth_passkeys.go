package subjects

import (
	"encoding/json"
	"time"
)

// PasskeyCeremony is the start of the registration or use of a passkey.
type PasskeyCeremony struct {
	CeremonyID string          `json:"ceremony_id" doc:"Send it with the call that finishes the ceremony; valid once."`
	Options    json.RawMessage `json:"options" doc:"Input of PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON (WebAuthn Level 3 §5.1)."`
	ExpiresIn  int             `json:"expires_in" doc:"Seconds until the ceremony expires."`
}

// BeginPasskeyRegistration starts the registration of a passkey.
var BeginPasskeyRegistration = declare(Endpoint[Empty, PasskeyCeremony]{
	Subject: "weft.v1.auth.begin_passkey_registration", Route: "POST /v1/auth/passkeys/registration/begin", Access: Enrolling,
	Limits: []Limit{PerUser(10, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Start registering a passkey",
	Doc: "Returns the options for navigator.credentials.create: a discoverable credential with user verification, without " +
		"attestation. Errors: forbidden without a sign-in within the last five minutes and a verified address; conflict if the " +
		"account has the maximum number of passkeys.",
})

// FinishPasskeyRegistrationRequest carries the credential that the browser created.
type FinishPasskeyRegistrationRequest struct {
	CeremonyID string          `json:"ceremony_id" minLength:"1" maxLength:"128"`
	Name       string          `json:"name" minLength:"1" maxLength:"100" doc:"The user's name for the passkey."`
	Credential json.RawMessage `json:"credential" doc:"The credential's toJSON(): RegistrationResponseJSON (WebAuthn Level 3 §5.1), at most 32 KiB."`
}

// Statuses of a passkey.
const (
	PasskeyActive    = "active"
	PasskeySuspended = "suspended"
)

// Passkey is one of a user's passkeys.
type Passkey struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Status     string    `json:"status" enum:"active,suspended" doc:"suspended: its signature counter decreased, which suggests a cloned authenticator, and it can no longer sign in; remove it and register a new one."`
	Synced     bool      `json:"synced" doc:"It is backed up, possibly to the user's other devices."`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// FinishPasskeyRegistration adds a passkey to the caller's account.
var FinishPasskeyRegistration = declare(Endpoint[FinishPasskeyRegistrationRequest, Passkey]{
	Subject: "weft.v1.auth.finish_passkey_registration", Route: "POST /v1/auth/passkeys/registration/finish", Access: Enrolling,
	MaxMessage: 64 << 10,
	Status:     201, Limits: []Limit{PerUser(10, time.Minute)}, Origin: true,
	Summary: "Add a passkey",
	Doc: "Verifies the credential that the browser created (WebAuthn Level 3 §7.1), adds it to the caller's passkeys and ends every " +
		"other session. Errors: invalid for a ceremony that is unknown, used, expired or another session's, and for a credential that " +
		"does not match it; conflict for a credential that is already registered.",
})

// ListPasskeysRequest is the request of ListPasskeys.
type ListPasskeysRequest struct{ PageRequest }

// ListPasskeys lists the caller's passkeys.
var ListPasskeys = declare(Endpoint[ListPasskeysRequest, Page[Passkey]]{
	Subject: "weft.v1.auth.list_passkeys", Route: "GET /v1/auth/passkeys", Access: User,
	Summary: "My passkeys", Doc: "Lists the caller's passkeys, oldest first.",
})

// DeletePasskeyRequest names a passkey.
type DeletePasskeyRequest struct {
	PasskeyID string `json:"passkey_id" in:"path" maxLength:"64"`
}

// DeletePasskey removes a passkey.
var DeletePasskey = declare(Endpoint[DeletePasskeyRequest, Empty]{
	Subject: "weft.v1.auth.delete_passkey", Route: "DELETE /v1/auth/passkeys/{passkey_id}", Access: User, Origin: true,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Remove a passkey",
	Doc: "Removes one of the caller's passkeys and ends every other session; the current one too if the account requires a second " +
		"factor and has no other. Errors: forbidden without a sign-in within the last five minutes; conflict if it is the only credential.",
})

// BeginPasskeyLogin starts a sign-in with a passkey.
var BeginPasskeyLogin = declare(Endpoint[Empty, PasskeyCeremony]{
	Subject: "weft.v1.auth.begin_passkey_login", Route: "POST /v1/auth/passkeys/login/begin", Access: SignIn,
	Limits: []Limit{PerIP(30, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Start signing in with a passkey",
	Doc: "Returns the options for navigator.credentials.get. They name no account and no credential, because the credential is " +
		"discoverable; so the answer does not disclose who has an account.",
})

// FinishPasskeyLoginRequest carries the assertion that the authenticator signed.
type FinishPasskeyLoginRequest struct {
	CeremonyID string          `json:"ceremony_id" minLength:"1" maxLength:"128"`
	Credential json.RawMessage `json:"credential" doc:"The credential's toJSON(): AuthenticationResponseJSON (WebAuthn Level 3 §5.1), at most 32 KiB."`
}

// FinishPasskeyLogin completes a sign-in with a passkey.
var FinishPasskeyLogin = declare(Endpoint[FinishPasskeyLoginRequest, Session]{
	Subject: "weft.v1.auth.finish_passkey_login", Route: "POST /v1/auth/passkeys/login/finish", Access: SignIn,
	MaxMessage: 64 << 10,
	Limits:     []Limit{PerIP(30, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Sign in with a passkey",
	Doc: "Exchanges the authenticator's assertion (WebAuthn Level 3 §7.2) for a session. Possession and user verification are two " +
		"factors; no other is required. Every failure (ceremony, origin, signature, removed passkey, disabled account) gets the same " +
		"answer: unauthenticated. A passkey whose signature counter decreases is suspended and its user notified. If the request or " +
		"begin_passkey_login carried an access token, its session is replaced by the new one.",
})
