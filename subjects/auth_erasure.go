package subjects

import "time"

// DeleteAccountRequest carries the credentials that confirm the deletion.
type DeleteAccountRequest struct {
	Password string `json:"password,omitempty" maxLength:"1024" doc:"Required if the account has one; otherwise a sign-in within the last five minutes is required."`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"An authenticator or recovery code; required if an authenticator is enabled."`
}

// ErasureStarted is the reply of DeleteAccount. Its id and token give access to the erasure's status without an account.
type ErasureStarted struct {
	ErasureID string `json:"erasure_id"`
	Token     string `json:"token" doc:"For get_erasure; shown once."`
	Status    string `json:"status" enum:"erasing,erased"`
}

// DeleteAccount deletes the caller's account.
var DeleteAccount = declare(Endpoint[DeleteAccountRequest, ErasureStarted]{
	Subject: "weft.v1.auth.delete_account", Route: "DELETE /v1/users/me", Access: User, Status: 202, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Location: "/v1/auth/erasures/{erasure_id}", Secret: []string{"token"},
	Summary: "Delete my account",
	Doc: "Deletes the caller's account. When the call returns, the account is deleted, its access tokens and API keys are invalid " +
		"everywhere, and every other actor has been asked to erase or pseudonymise its data; get_erasure shows the progress. " +
		"Errors: conflict for the last admin; invalid for a wrong password or code.",
})

// ErasureRequest names an erasure and carries its token.
type ErasureRequest struct {
	ErasureID string `json:"erasure_id" in:"path" format:"uuid"`
	Token     string `json:"token" in:"header:Weft-Erasure-Token" minLength:"1" maxLength:"128" doc:"The token that delete_account returned."`
}

// ErasureStatus is the progress of an erasure.
type ErasureStatus struct {
	ErasureID   string     `json:"erasure_id"`
	Status      string     `json:"status" enum:"erasing,erased"`
	RequestedAt time.Time  `json:"requested_at"`
	ErasedAt    *time.Time `json:"erased_at,omitempty" doc:"When the last actor confirmed."`
	SettledAt   *time.Time `json:"settled_at,omitempty" doc:"When all actors had confirmed a second round, after everything that began before the deletion had ended."`
	// Actors lists every actor that stores user data, by name.
	Actors []ActorErasure `json:"actors"`
}

// ActorErasure is the progress of one actor.
type ActorErasure struct {
	Actor  string     `json:"actor"`
	Status string     `json:"status" enum:"pending,erased"`
	Items  int64      `json:"items" doc:"Number of records deleted or pseudonymised."`
	At     *time.Time `json:"at,omitempty"`
}

// GetErasure returns the progress of an erasure.
var GetErasure = declare(Endpoint[ErasureRequest, ErasureStatus]{
	Subject: "weft.v1.auth.get_erasure", Route: "GET /v1/auth/erasures/{erasure_id}", Access: Public,
	Limits:  []Limit{PerIP(60, time.Minute)},
	Summary: "Progress of an erasure",
	Doc: "Returns which actors have erased their data of a deleted account. It requires the token from delete_account, because the " +
		"account no longer exists; not_found for any other token.",
})
