package subjects

import "time"

// UserAccount is an account as an admin sees it.
type UserAccount struct {
	Profile
	Disabled  bool      `json:"disabled" doc:"No sign-in, no session, no API key."`
	UpdatedAt time.Time `json:"updated_at"`
	// SecondFactor is the account's own rule.
	SecondFactor string `json:"second_factor" enum:"default,required,optional" doc:"Whether the account needs a second factor; default: what auth.require_second_factor says."`
}

// ListUsersRequest asks for a page of accounts.
type ListUsersRequest struct {
	PageRequest
	Email string `json:"email,omitempty" in:"query" maxLength:"254" doc:"Only addresses that begin so."`
}

// ListUsers lists accounts.
var ListUsers = declare(Endpoint[ListUsersRequest, Page[UserAccount]]{
	Subject: "weft.v1.auth.list_users", Route: "GET /v1/admin/users", Access: Role(RoleAdmin),
	Summary: "Accounts", Doc: "Lists accounts, the newest first.",
})

// GetUserRequest names an account.
type GetUserRequest struct {
	UserID string `json:"user_id" in:"path" format:"uuid"`
}

// GetUser answers with one account.
var GetUser = declare(Endpoint[GetUserRequest, UserAccount]{
	Subject: "weft.v1.auth.get_user", Route: "GET /v1/admin/users/{user_id}", Access: Role(RoleAdmin),
	Summary: "An account", Doc: "Answers with one account; not_found where there is none.",
})

// UpdateUserRequest changes the fields that it carries.
type UpdateUserRequest struct {
	UserID   string   `json:"user_id" in:"path" format:"uuid"`
	Roles    []string `json:"roles,omitempty" minItems:"1" maxItems:"2" uniqueItems:"true" enum:"user,admin" doc:"Everybody keeps user."`
	Disabled *bool    `json:"disabled,omitempty"`
	// SecondFactor is the account's own rule.
	SecondFactor string `json:"second_factor,omitempty" enum:"default,required,optional" doc:"Whether the account needs a second factor; default: what auth.require_second_factor says."`
}

// UpdateUser changes an account's roles, disables or enables it, and says whether it needs a second factor.
var UpdateUser = declare(Endpoint[UpdateUserRequest, UserAccount]{
	Subject: "weft.v1.auth.update_user", Route: "PATCH /v1/admin/users/{user_id}", Access: Role(RoleAdmin), Origin: true,
	Summary: "Change an account",
	Doc: "Changes an account's roles, disables or enables it, and says whether it needs a second factor. Who loses a role, is " +
		"disabled or may need a second factor from now on is signed out everywhere before it answers. The last admin stays one: conflict.",
})

// EndUserSessions ends an account's sessions.
var EndUserSessions = declare(Endpoint[GetUserRequest, Empty]{
	Subject: "weft.v1.auth.end_user_sessions", Route: "DELETE /v1/admin/users/{user_id}/sessions", Access: Role(RoleAdmin), Origin: true,
	Summary: "Sign an account out",
	Doc: "Ends every session of one account, and the sign-ins that wait for a second factor. Once it has answered, no actor takes " +
		"their access tokens. API keys stay.",
})

// EndAllSessions ends everybody's sessions.
var EndAllSessions = declare(Endpoint[Empty, Empty]{
	Subject: "weft.v1.auth.end_all_sessions", Route: "DELETE /v1/admin/sessions", Access: Role(RoleAdmin), Origin: true,
	Summary: "Sign everybody out",
	Doc: "Ends every session of every account, the caller's own among them, and the sign-ins that wait for a second factor. Once it " +
		"has answered, no actor takes their access tokens, and no refresh token is good; the lists of sessions follow. API keys stay.",
})
