package subjects

import "time"

// VerifyMFARequest carries a login's MFAToken and a code of the second factor.
type VerifyMFARequest struct {
	MFAToken string `json:"mfa_token" minLength:"1" maxLength:"1024"`
	Code     string `json:"code" minLength:"6" maxLength:"32" doc:"A six-digit authenticator code, or a recovery code."`
	// DeviceToken has its failures counted separately, as in Login.
	DeviceToken string `json:"device_token,omitempty" maxLength:"128" doc:"From an earlier login of this device; wrong codes with it are counted separately."`
}

// VerifyMFA completes a login that requires a second factor.
var VerifyMFA = declare(Endpoint[VerifyMFARequest, Session]{
	Subject: "weft.v1.auth.verify_mfa", Route: "POST /v1/auth/mfa/verify", Access: SignIn, ReadOnly: true, Origin: true,
	Limits:  []Limit{PerIP(30, time.Minute)},
	Summary: "Verify the second factor",
	Doc: "Exchanges a login's mfa_token and a code for a session. A code is valid once. After five wrong codes the account's " +
		"second factor is rate_limited, with the time to wait; failures with the device_token of an earlier login are counted " +
		"separately. If the request or the login carried an access token, its session is replaced by the new one.",
})

// EnrollTOTPRequest carries the password that confirms the request.
type EnrollTOTPRequest struct {
	Password string `json:"password,omitempty" maxLength:"1024" doc:"Required if the account has one; otherwise a sign-in within the last five minutes is required."`
}

// TOTPEnrollment is the secret for an authenticator app.
type TOTPEnrollment struct {
	Secret     string `json:"secret" doc:"Base32, for manual entry."`
	OTPAuthURL string `json:"otpauth_url" doc:"For a QR code."`
}

// EnrollTOTP starts the set-up of an authenticator.
var EnrollTOTP = declare(Endpoint[EnrollTOTPRequest, TOTPEnrollment]{
	Subject: "weft.v1.auth.enroll_totp", Route: "POST /v1/auth/mfa/totp", Access: Enrolling, Status: 201, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Secret: []string{"secret", "otpauth_url"},
	Summary: "Set up an authenticator",
	Doc: "Creates a secret for an authenticator (RFC 6238). It takes effect when confirm_totp has verified a code; until then each " +
		"call creates a new one. Errors: invalid for a wrong password; conflict if the account has an authenticator.",
})

// ConfirmTOTPRequest carries a code of the new authenticator.
type ConfirmTOTPRequest struct {
	Code string `json:"code" pattern:"^[0-9]{6}$"`
}

// RecoveryCodes replace a lost authenticator; each is valid once.
type RecoveryCodes struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Shown once."`
}

// ConfirmTOTP enables the authenticator that EnrollTOTP set up.
var ConfirmTOTP = declare(Endpoint[ConfirmTOTPRequest, RecoveryCodes]{
	Subject: "weft.v1.auth.confirm_totp", Route: "POST /v1/auth/mfa/totp/confirm", Access: Enrolling, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Secret: []string{"recovery_codes"},
	Summary: "Enable the authenticator",
	Doc: "Verifies a code of the authenticator that enroll_totp set up and enables it: logins then require a code. It ends the " +
		"user's other sessions and returns ten recovery codes. A wrong code is invalid.",
})

// DisableTOTPRequest carries both factors.
type DisableTOTPRequest struct {
	Password string `json:"password,omitempty" maxLength:"1024" doc:"Required if the account has one; otherwise a sign-in within the last five minutes is required."`
	Code     string `json:"code" minLength:"6" maxLength:"32" doc:"A six-digit authenticator code, or a recovery code."`
}

// DisableTOTP disables the authenticator.
var DisableTOTP = declare(Endpoint[DisableTOTPRequest, Empty]{
	Subject: "weft.v1.auth.disable_totp", Route: "DELETE /v1/auth/mfa/totp", Access: User, Origin: true,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Disable the authenticator",
	Doc: "Requires the password and a code, deletes the authenticator and the recovery codes, and ends the user's other sessions; " +
		"the current one too if the account requires a second factor and has no passkey. Errors: invalid for a wrong password or " +
		"code; not_found if there is no authenticator.",
})
