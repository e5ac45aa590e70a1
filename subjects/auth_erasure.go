package subjects

import "time"

// DeleteAccountRequest proves that it is the owner who asks.
type DeleteAccountRequest struct {
	Password string `json:"password,omitempty" maxLength:"1024" doc:"Needed where the account has one; else a sign-in of the last five minutes is."`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"Of the authenticator, or a recovery code; needed where an authenticator is on."`
}

// ErasureStarted is the answer to delete_account: with what it names, the erasure can be followed without an account.
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
	Doc: "Deletes the caller's account. Once it has answered, the account is gone, no actor takes its access tokens or API " +
		"keys, and every other actor has been told to erase or pseudonymise what it holds: get_erasure shows that all have. " +
		"The last admin stays: conflict. A wrong password or code is invalid.",
})

// ErasureRequest names an erasure and proves that it was the asker's account.
type ErasureRequest struct {
	ErasureID string `json:"erasure_id" in:"path" format:"uuid"`
	Token     string `json:"token" in:"header:Weft-Erasure-Token" minLength:"1" maxLength:"128" doc:"Delete_account's."`
}

// ErasureStatus tells how far an erasure has come.
type ErasureStatus struct {
	ErasureID   string     `json:"erasure_id"`
	Status      string     `json:"status" enum:"erasing,erased"`
	RequestedAt time.Time  `json:"requested_at"`
	ErasedAt    *time.Time `json:"erased_at,omitempty" doc:"When the last actor had answered."`
	SettledAt   *time.Time `json:"settled_at,omitempty" doc:"When all had looked a second time, after everything begun before the deletion was over."`
	// Actors are all that hold something of users, by name.
	Actors []ActorErasure `json:"actors"`
}

// ActorErasure tells how far one actor has come.
type ActorErasure struct {
	Actor  string     `json:"actor"`
	Status string     `json:"status" enum:"pending,erased"`
	Items  int64      `json:"items" doc:"How many records went, or lost what tied them to the user."`
	At     *time.Time `json:"at,omitempty"`
}

// GetErasure tells how far an erasure has come.
var GetErasure = declare(Endpoint[ErasureRequest, ErasureStatus]{
	Subject: "weft.v1.auth.get_erasure", Route: "GET /v1/auth/erasures/{erasure_id}", Access: Public,
	Limits:  []Limit{PerIP(60, time.Minute)},
	Summary: "How far is an erasure?",
	Doc: "Tells of a deleted account which actors have erased what they held of it. It takes delete_account's token, since " +
		"there is no account any more; not_found for any other.",
})
