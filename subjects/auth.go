package subjects

import "time"

// Profile is an account as its owner sees it.
type Profile struct {
	ID            string    `json:"id"`
	Email         string    `json:"email"`
	EmailVerified bool      `json:"email_verified"`
	FirstName     string    `json:"first_name"`
	LastName      string    `json:"last_name"`
	AvatarURL     string    `json:"avatar_url,omitempty"`
	Locale        string    `json:"locale"`
	TimeZone      string    `json:"time_zone"`
	Roles         []string  `json:"roles"`
	CreatedAt     time.Time `json:"created_at"`
	Version       int64     `json:"version" doc:"Counts the changes of the account, from 1."`
}

// RegisterRequest is the request of Register.
type RegisterRequest struct {
	Email     string `json:"email" format:"email" maxLength:"254" doc:"Stored in lower case; one account per address."`
	Password  string `json:"password" minLength:"1" maxLength:"1024" doc:"At least 8 characters of any kind. Common passwords and those derived from the user's name or address are rejected."`
	FirstName string `json:"first_name,omitempty" maxLength:"100"`
	LastName  string `json:"last_name,omitempty" maxLength:"100"`
	Locale    string `json:"locale,omitempty" maxLength:"35" doc:"A BCP 47 tag; default en."`
	TimeZone  string `json:"time_zone,omitempty" maxLength:"64" doc:"An IANA time zone; default UTC."`
}

// Accepted is the reply of endpoints that must not disclose whether an account exists.
type Accepted struct {
	Status string `json:"status" enum:"accepted"`
}

// Register creates an account.
var Register = declare(Endpoint[RegisterRequest, Accepted]{
	Subject: "weft.v1.auth.register", Route: "POST /v1/auth/register", Access: Public, Status: 202,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true, Concurrency: 512,
	Summary: "Sign up",
	Doc: "Creates an account. The answer and its timing are the same if the address is already registered. Errors: invalid, if " +
		"the password policy rejects the password; rate_limited, with the time to wait, if the password hashing pool is full.",
})

// LoginRequest is the request of Login.
type LoginRequest struct {
	Email       string `json:"email" format:"email" maxLength:"254"`
	Password    string `json:"password" minLength:"1" maxLength:"1024"`
	DeviceToken string `json:"device_token,omitempty" maxLength:"128" doc:"From an earlier login of this device; failures with it are counted separately, so that attacks by others do not lock it out."`
}

// Session is the reply of a login: tokens or, if a second factor is required, an MFAToken for verify_mfa.
type Session struct {
	AccessToken  string  `json:"access_token,omitempty" doc:"EdDSA JWT, typ at+jwt (RFC 9068)."`
	RefreshToken string  `json:"refresh_token,omitempty"`
	TokenType    string  `json:"token_type,omitempty" example:"Bearer"`
	ExpiresIn    int     `json:"expires_in,omitempty" doc:"Seconds until the access token, or the mfa_token, expires."`
	SessionID    string  `json:"session_id,omitempty"`
	User         Profile `json:"user,omitzero"`
	// DeviceToken outlives the session.
	DeviceToken string `json:"device_token,omitempty" doc:"Store it beyond the session and send it with the next login, so that weft recognises the device."`
	// EnrollmentRequired means that the access token has only the scope ScopeEnroll.
	EnrollmentRequired bool `json:"enrollment_required,omitempty" doc:"The account requires a second factor and has none: the access token is limited to the endpoints that set one up, and logout. Refresh the session once it is set up."`
	// MFAToken is set instead of the tokens if a second factor is required.
	MFAToken   string   `json:"mfa_token,omitempty" doc:"Send it to verify_mfa with a code; absent if no second factor is required."`
	MFAMethods []string `json:"mfa_methods,omitempty" enum:"totp,recovery_code"`
}

// Login exchanges an address and a password for a session.
var Login = declare(Endpoint[LoginRequest, Session]{
	Subject: "weft.v1.auth.login", Route: "POST /v1/auth/login", Access: SignIn,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true, ReadOnly: true, Concurrency: 512,
	Summary: "Sign in",
	Doc: "Exchanges an e-mail address and a password for a session. A wrong password, an unknown address and a disabled " +
		"account get the same answer. rate_limited, with the time to wait: five failures for one address from one network, many " +
		"failures for it from anywhere, or a full password hashing pool. Failures with the device_token of an earlier login are " +
		"counted separately, so that others cannot lock the owner out. An account that requires a second factor and has none gets " +
		"a session limited to setting one up (enrollment_required); one whose second factor is a passkey must sign in with it: " +
		"forbidden. If the request, here or to verify_mfa, carries an access token, its session is replaced by the new one.",
})

// GetUserProfile returns the caller's account.
var GetUserProfile = declare(Endpoint[Empty, Profile]{
	Subject: "weft.v1.auth.get_user_profile", Route: "GET /v1/users/me", Access: Scope(ScopeUserProfileRead), Tag: "version",
	Summary: "My profile", Doc: "Returns the caller's account.",
})

// UpdateUserProfileRequest changes the fields that are present; null clears a field or restores its default.
type UpdateUserProfileRequest struct {
	FirstName Optional[string] `json:"first_name,omitzero" maxLength:"100"`
	LastName  Optional[string] `json:"last_name,omitzero" maxLength:"100"`
	AvatarURL Optional[string] `json:"avatar_url,omitzero" maxLength:"2048" doc:"An https URL."`
	Locale    Optional[string] `json:"locale,omitzero" maxLength:"35" doc:"A BCP 47 tag."`
	TimeZone  Optional[string] `json:"time_zone,omitzero" maxLength:"64" doc:"An IANA time zone."`
	Precondition
}

// UpdateUserProfile changes the caller's account.
var UpdateUserProfile = declare(Endpoint[UpdateUserProfileRequest, Profile]{
	Subject: "weft.v1.auth.update_user_profile", Route: "PATCH /v1/users/me", Access: Scope(ScopeUserProfileWrite), Tag: "version",
	Summary: "Change my profile",
	Doc:     "Changes the given fields and returns the whole account. `precondition_failed`: the account's version is not one that If-Match names.",
})

// Contact is what a service needs to address a user.
type Contact struct {
	UserID    string `json:"user_id"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	Locale    string `json:"locale"`
	TimeZone  string `json:"time_zone"`
}

// GetContact returns the contact data of the user that the notification actor acts for.
var GetContact = declare(Endpoint[Empty, Contact]{
	Subject: "weft.v1.auth.get_contact", Access: ServiceWithoutGrant("notification"),
	Summary: "A user's contact data",
	Doc: "Returns the address, language and time zone of the user that the service acts for; not_found if there is no such " +
		"account.",
})
