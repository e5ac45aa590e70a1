package subjects

import "time"

// UserAccount is an account as shown to an admin.
type UserAccount struct {
	Profile
	Disabled  bool      `json:"disabled" doc:"Sign-ins, sessions and API keys are refused."`
	UpdatedAt time.Time `json:"updated_at"`
	// SecondFactor overrides the configuration for this account.
	SecondFactor string `json:"second_factor" enum:"default,required,optional" doc:"Whether the account requires a second factor; default: as configured by auth.require_second_factor."`
}

// ListUsersRequest filters the list.
type ListUsersRequest struct {
	PageRequest
	Email string `json:"email,omitempty" in:"query" maxLength:"254" doc:"Only addresses with this prefix."`
}

// ListUsers lists accounts.
var ListUsers = declare(Endpoint[ListUsersRequest, Page[UserAccount]]{
	Subject: "weft.v1.auth.list_users", Route: "GET /v1/admin/users", Access: Role(RoleAdmin),
	Summary: "Accounts", Doc: "Lists accounts, newest first; those with an address prefix by address.",
})

// GetUserRequest names an account.
type GetUserRequest struct {
	UserID string `json:"user_id" in:"path" format:"uuid"`
}

// GetUser returns an account.
var GetUser = declare(Endpoint[GetUserRequest, UserAccount]{
	Subject: "weft.v1.auth.get_user", Route: "GET /v1/admin/users/{user_id}", Access: Role(RoleAdmin), Tag: "version",
	Summary: "An account", Doc: "Returns an account; not_found if there is none.",
})

// UpdateUserRequest names an account; fields that are present are changed.
type UpdateUserRequest struct {
	UserID   string   `json:"user_id" in:"path" format:"uuid"`
	Roles    []string `json:"roles,omitempty" minItems:"1" maxItems:"2" uniqueItems:"true" enum:"user,admin" doc:"The role user is always kept."`
	Disabled *bool    `json:"disabled,omitempty"`
	// SecondFactor overrides the configuration for this account.
	SecondFactor string `json:"second_factor,omitempty" enum:"default,required,optional" doc:"Whether the account requires a second factor; default: as configured by auth.require_second_factor."`
	Precondition
}

// UpdateUser changes an account's roles, status or second-factor rule.
var UpdateUser = declare(Endpoint[UpdateUserRequest, UserAccount]{
	Subject: "weft.v1.auth.update_user", Route: "PATCH /v1/admin/users/{user_id}", Access: Role(RoleAdmin), Origin: true, Tag: "version",
	Summary: "Change an account",
	Doc: "Changes an account's roles, disables or enables it, and sets whether it requires a second factor. An account that loses a role, " +
		"is disabled or may newly require a second factor is signed out everywhere before the call returns. While an account is disabled, " +
		"nothing starts for it: no scheduled run, no call of an execution, no delivery, no notification, no request with its API keys. " +
		"Enabled again, it continues. conflict for the last admin. `precondition_failed`: the account's version is not one that If-Match names.",
})

// EndUserSessions ends an account's sessions.
var EndUserSessions = declare(Endpoint[GetUserRequest, Empty]{
	Subject: "weft.v1.auth.end_user_sessions", Route: "DELETE /v1/admin/users/{user_id}/sessions", Access: Role(RoleAdmin), Origin: true,
	Summary: "Sign an account out",
	Doc: "Ends every session of an account and its pending sign-ins. When the call returns, no actor accepts their access tokens. API " +
		"keys stay valid.",
})

// EndAllSessions ends the sessions of all accounts.
var EndAllSessions = declare(Endpoint[Empty, Empty]{
	Subject: "weft.v1.auth.end_all_sessions", Route: "DELETE /v1/admin/sessions", Access: Role(RoleAdmin), Origin: true,
	Summary: "Sign all accounts out",
	Doc: "Ends every session of every account, including the caller's, and all pending sign-ins. When the call returns, no actor accepts " +
		"their access tokens and no refresh token is valid; lists of sessions are updated later. API keys stay valid.",
})
