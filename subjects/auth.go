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
}

// RegisterRequest asks for an account.
type RegisterRequest struct {
	Email     string `json:"email" format:"email" maxLength:"254" doc:"Kept in lower case; one account an address."`
	Password  string `json:"password" minLength:"1" maxLength:"1024" doc:"At least 8 characters, any of them; common passwords and one's own name or address are refused."`
	FirstName string `json:"first_name,omitempty" maxLength:"100"`
	LastName  string `json:"last_name,omitempty" maxLength:"100"`
	Locale    string `json:"locale,omitempty" maxLength:"35" doc:"A BCP 47 tag; en unless given."`
	TimeZone  string `json:"time_zone,omitempty" maxLength:"64" doc:"An IANA zone; UTC unless given."`
}

// Accepted is the whole answer of what must not tell who has an account.
type Accepted struct {
	Status string `json:"status" enum:"accepted"`
}

// Register opens an account.
var Register = declare(Endpoint[RegisterRequest, Accepted]{
	Subject: "weft.v1.auth.register", Route: "POST /v1/auth/register", Access: Public, Status: 202,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true, Concurrency: 512,
	Summary: "Sign up",
	Doc: "Opens an account. A taken address answers alike, in body and time. A password that the policy refuses is " +
		"invalid; past what the hashing pool can take it is rate_limited, with the time to wait.",
})

// LoginRequest carries an address and a password.
type LoginRequest struct {
	Email       string `json:"email" format:"email" maxLength:"254"`
	Password    string `json:"password" minLength:"1" maxLength:"1024"`
	DeviceToken string `json:"device_token,omitempty" maxLength:"128" doc:"From an earlier login of this device: it gets through while strangers are throttled."`
}

// Session is what a login answers with: tokens, or, where a second factor is due, what verify_mfa takes.
type Session struct {
	AccessToken  string  `json:"access_token,omitempty" doc:"EdDSA JWT, typ at+jwt (RFC 9068)."`
	RefreshToken string  `json:"refresh_token,omitempty"`
	TokenType    string  `json:"token_type,omitempty" example:"Bearer"`
	ExpiresIn    int     `json:"expires_in,omitempty" doc:"Seconds until the access token, or the mfa_token, ends."`
	SessionID    string  `json:"session_id,omitempty"`
	User         Profile `json:"user,omitzero"`
	// DeviceToken is kept by the device beyond the session.
	DeviceToken string `json:"device_token,omitempty" doc:"Keep it beyond the session and give it to the next login: weft knows the device by it."`
	// EnrollmentRequired comes with tokens that reach nothing else.
	EnrollmentRequired bool `json:"enrollment_required,omitempty" doc:"The account needs a second factor and has none: the access token reaches the endpoints that set one up, and logout, alone. Refresh the session once it is set up."`
	// MFAToken stands where the tokens would.
	MFAToken   string   `json:"mfa_token,omitempty" doc:"Give it to verify_mfa with a code; absent where no second factor is due."`
	MFAMethods []string `json:"mfa_methods,omitempty" enum:"totp,recovery_code"`
}

// Login exchanges an address and a password for a session.
var Login = declare(Endpoint[LoginRequest, Session]{
	Subject: "weft.v1.auth.login", Route: "POST /v1/auth/login", Access: SignIn,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true, ReadOnly: true, Concurrency: 512,
	Summary: "Sign in",
	Doc: "Exchanges an e-mail address and a password for a session. A wrong password, an unknown address and a disabled " +
		"account answer alike. After five failures for one address from one source, after many from anywhere, and past " +
		"what the hashing pool can take, it is rate_limited, with the time to wait. A device_token of an earlier login is " +
		"counted for itself, so that strangers lock no owner out. An account that needs a second factor and has none gets a session " +
		"that reaches its set-up alone (enrollment_required); one that has a passkey for it must sign in with that: forbidden. " +
		"A session whose access token comes along, here or with verify_mfa, ends once the new one is there.",
})

// GetUserProfile answers with the caller's account.
var GetUserProfile = declare(Endpoint[Empty, Profile]{
	Subject: "weft.v1.auth.get_user_profile", Route: "GET /v1/users/me", Access: Scope(ScopeUserProfileRead),
	Summary: "My profile", Doc: "Answers with the caller's account.",
})

// UpdateUserProfileRequest changes the fields it carries and leaves the others; null empties a field, or
// brings back its default.
type UpdateUserProfileRequest struct {
	FirstName Optional[string] `json:"first_name,omitzero" maxLength:"100"`
	LastName  Optional[string] `json:"last_name,omitzero" maxLength:"100"`
	AvatarURL Optional[string] `json:"avatar_url,omitzero" maxLength:"2048" doc:"An https URL."`
	Locale    Optional[string] `json:"locale,omitzero" maxLength:"35" doc:"A BCP 47 tag."`
	TimeZone  Optional[string] `json:"time_zone,omitzero" maxLength:"64" doc:"An IANA zone."`
}

// UpdateUserProfile changes the caller's account.
var UpdateUserProfile = declare(Endpoint[UpdateUserProfileRequest, Profile]{
	Subject: "weft.v1.auth.update_user_profile", Route: "PATCH /v1/users/me", Access: Scope(ScopeUserProfileWrite),
	Summary: "Change my profile",
	Doc:     "Changes the fields given and answers with the whole account.",
})

// Contact is what a service may learn of a user to reach them.
type Contact struct {
	UserID    string `json:"user_id"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	Locale    string `json:"locale"`
	TimeZone  string `json:"time_zone"`
}

// GetContact tells the notification actor where to reach the user it acts for.
var GetContact = declare(Endpoint[Empty, Contact]{
	Subject: "weft.v1.auth.get_contact", Access: ServiceWithoutGrant("notification"),
	Summary: "Where to reach a user",
	Doc: "Answers with the address, language and time zone of the user that the call is made for; not_found when " +
		"there is no such account.",
})
