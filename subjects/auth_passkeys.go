package subjects

import (
	"encoding/json"
	"time"
)

// PasskeyCeremony is how the making or the use of a passkey begins.
type PasskeyCeremony struct {
	CeremonyID string          `json:"ceremony_id" doc:"Give it to the call that finishes; good once."`
	Options    json.RawMessage `json:"options" doc:"What PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON takes (WebAuthn Level 3 §5.1)."`
	ExpiresIn  int             `json:"expires_in" doc:"Seconds until the ceremony ends."`
}

// BeginPasskeyRegistration begins to make a passkey.
var BeginPasskeyRegistration = declare(Endpoint[Empty, PasskeyCeremony]{
	Subject: "weft.v1.auth.begin_passkey_registration", Route: "POST /v1/auth/passkeys/registration/begin", Access: Enrolling,
	Limits: []Limit{PerUser(10, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Begin to make a passkey",
	Doc: "Answers with what navigator.credentials.create takes: a discoverable credential that verifies its user, without " +
		"attestation. It needs a sign-in of the last five minutes and a verified address: forbidden. An account that has as " +
		"many passkeys as it may have is a conflict.",
})

// FinishPasskeyRegistrationRequest carries what the browser made.
type FinishPasskeyRegistrationRequest struct {
	CeremonyID string          `json:"ceremony_id" minLength:"1" maxLength:"128"`
	Name       string          `json:"name" minLength:"1" maxLength:"100" doc:"What the user calls the passkey."`
	Credential json.RawMessage `json:"credential" doc:"The credential's toJSON(): RegistrationResponseJSON (WebAuthn Level 3 §5.1), 32 KiB at the most."`
}

// Passkey is one of a user's passkeys.
type Passkey struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Status     string    `json:"status" enum:"active,suspended" doc:"suspended: its signature counter went back, as a copy's would, and it signs in no more; remove it and make a new one."`
	Synced     bool      `json:"synced" doc:"It is backed up, to the user's other devices perhaps."`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// FinishPasskeyRegistration adds a passkey to the caller's account.
var FinishPasskeyRegistration = declare(Endpoint[FinishPasskeyRegistrationRequest, Passkey]{
	Subject: "weft.v1.auth.finish_passkey_registration", Route: "POST /v1/auth/passkeys/registration/finish", Access: Enrolling,
	Status: 201, Limits: []Limit{PerUser(10, time.Minute)}, Origin: true,
	Summary: "Add a passkey",
	Doc: "Verifies what the browser made (WebAuthn Level 3 §7.1), adds it to the caller's passkeys and ends every other " +
		"session. A ceremony that is unknown, used, over, or another session's is invalid, and so is a credential that does " +
		"not answer it; one that is registered already is a conflict.",
})

// ListPasskeysRequest asks for a page.
type ListPasskeysRequest struct{ PageRequest }

// ListPasskeys lists the caller's passkeys.
var ListPasskeys = declare(Endpoint[ListPasskeysRequest, Page[Passkey]]{
	Subject: "weft.v1.auth.list_passkeys", Route: "GET /v1/auth/passkeys", Access: User,
	Summary: "My passkeys", Doc: "Lists the caller's passkeys, the oldest first.",
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
	Doc: "Removes one of the caller's passkeys and ends every other session; this one too, where the account needs a second " +
		"factor and has no other. It needs a sign-in of the last five minutes: " +
		"forbidden. The last way in cannot be removed: conflict.",
})

// BeginPasskeyLogin begins a sign-in with a passkey.
var BeginPasskeyLogin = declare(Endpoint[Empty, PasskeyCeremony]{
	Subject: "weft.v1.auth.begin_passkey_login", Route: "POST /v1/auth/passkeys/login/begin", Access: SignIn,
	Limits: []Limit{PerIP(30, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Begin to sign in with a passkey",
	Doc: "Answers with what navigator.credentials.get takes. It names no account and no credential: the authenticator finds " +
		"its own, so that the answer tells nobody who has an account.",
})

// FinishPasskeyLoginRequest carries what the authenticator signed.
type FinishPasskeyLoginRequest struct {
	CeremonyID string          `json:"ceremony_id" minLength:"1" maxLength:"128"`
	Credential json.RawMessage `json:"credential" doc:"The credential's toJSON(): AuthenticationResponseJSON (WebAuthn Level 3 §5.1), 32 KiB at the most."`
}

// FinishPasskeyLogin ends a sign-in with a passkey.
var FinishPasskeyLogin = declare(Endpoint[FinishPasskeyLoginRequest, Session]{
	Subject: "weft.v1.auth.finish_passkey_login", Route: "POST /v1/auth/passkeys/login/finish", Access: SignIn,
	Limits: []Limit{PerIP(30, time.Minute)}, Origin: true, ReadOnly: true,
	Summary: "Sign in with a passkey",
	Doc: "Exchanges what the authenticator signed (WebAuthn Level 3 §7.2) for a session. Possession and the user's " +
		"verification are two factors: no other is asked for. Whatever is not good (the ceremony, the origin, the signature, " +
		"a removed passkey, a disabled account) answers alike: unauthenticated. A passkey whose signature counter goes back " +
		"is suspended and its user told. A session whose access token comes along, here or with begin_passkey_login, ends once " +
		"the new one is there.",
})
