package subjects

import "time"

// VerifyMFARequest carries a login's mfa_token and the second factor.
type VerifyMFARequest struct {
	MFAToken string `json:"mfa_token" minLength:"1" maxLength:"1024"`
	Code     string `json:"code" minLength:"6" maxLength:"32" doc:"Six digits of the authenticator, or a recovery code."`
	// DeviceToken is counted for itself, as login's is.
	DeviceToken string `json:"device_token,omitempty" maxLength:"128" doc:"From an earlier login of this device: its wrong codes are counted apart from everybody else's."`
}

// VerifyMFA ends a login that a second factor is due for.
var VerifyMFA = declare(Endpoint[VerifyMFARequest, Session]{
	Subject: "weft.v1.auth.verify_mfa", Route: "POST /v1/auth/mfa/verify", Access: SignIn, ReadOnly: true, Origin: true,
	Limits:  []Limit{PerIP(30, time.Minute)},
	Summary: "Give the second factor",
	Doc: "Exchanges a login's mfa_token and a code for a session. A code is good once. After five wrong ones the account's " +
		"second factor is rate_limited, with the time to wait; a device_token of an earlier login is counted for itself. " +
		"A session whose access token comes along, or came with the login, ends once the new one is there.",
})

// EnrollTOTPRequest carries the password, which proves that it is the owner who asks.
type EnrollTOTPRequest struct {
	Password string `json:"password,omitempty" maxLength:"1024" doc:"Needed where the account has one; else a sign-in of the last five minutes is."`
}

// TOTPEnrollment is what an authenticator is set up with.
type TOTPEnrollment struct {
	Secret     string `json:"secret" doc:"Base32, for typing in."`
	OTPAuthURL string `json:"otpauth_url" doc:"For a QR code."`
}

// EnrollTOTP begins to set an authenticator up.
var EnrollTOTP = declare(Endpoint[EnrollTOTPRequest, TOTPEnrollment]{
	Subject: "weft.v1.auth.enroll_totp", Route: "POST /v1/auth/mfa/totp", Access: Enrolling, Status: 201, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Secret: []string{"secret", "otpauth_url"},
	Summary: "Set up an authenticator",
	Doc: "Makes a secret for an authenticator (RFC 6238). It counts once confirm_totp has seen a code; until then each call " +
		"makes a new one. A wrong password is invalid; an account that has an authenticator is a conflict.",
})

// ConfirmTOTPRequest carries a code of the new authenticator.
type ConfirmTOTPRequest struct {
	Code string `json:"code" pattern:"^[0-9]{6}$"`
}

// RecoveryCodes are good once each, where the authenticator is lost.
type RecoveryCodes struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Shown once."`
}

// ConfirmTOTP turns the second factor on.
var ConfirmTOTP = declare(Endpoint[ConfirmTOTPRequest, RecoveryCodes]{
	Subject: "weft.v1.auth.confirm_totp", Route: "POST /v1/auth/mfa/totp/confirm", Access: Enrolling, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Secret: []string{"recovery_codes"},
	Summary: "Turn the authenticator on",
	Doc: "Takes a code of the authenticator that enroll_totp set up: from now on a login asks for one. It ends the user's " +
		"other sessions and answers with ten recovery codes. A wrong code is invalid.",
})

// DisableTOTPRequest carries both factors.
type DisableTOTPRequest struct {
	Password string `json:"password,omitempty" maxLength:"1024" doc:"Needed where the account has one; else a sign-in of the last five minutes is."`
	Code     string `json:"code" minLength:"6" maxLength:"32" doc:"Six digits of the authenticator, or a recovery code."`
}

// DisableTOTP turns the second factor off.
var DisableTOTP = declare(Endpoint[DisableTOTPRequest, Empty]{
	Subject: "weft.v1.auth.disable_totp", Route: "DELETE /v1/auth/mfa/totp", Access: User, Origin: true,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Turn the authenticator off",
	Doc: "Takes the password and a code, forgets the authenticator and the recovery codes, and ends the user's other " +
		"sessions; this one too, where the account needs a second factor and has no passkey. A wrong password or code is " +
		"invalid; not_found where there is no authenticator.",
})
