package subjects

import "time"

// VerifyEmailRequest carries the token from a verification e-mail.
type VerifyEmailRequest struct {
	Token string `json:"token" minLength:"1" maxLength:"128"`
}

// VerifyEmail verifies an e-mail address.
var VerifyEmail = declare(Endpoint[VerifyEmailRequest, Empty]{
	Subject: "weft.v1.auth.verify_email", Route: "POST /v1/auth/email/verify", Access: Public, Origin: true,
	Limits:  []Limit{PerIP(30, time.Minute)},
	Summary: "Verify an address",
	Doc: "Takes the token from a verification e-mail, which is valid once and expires. The address becomes verified or, after " +
		"change_email, becomes the account's. Errors: invalid for an invalid or expired token; conflict if another account has the " +
		"address by now. If the address was registered more than once before it was verified, the account is deleted with everything in " +
		"it, as by delete_account, and replaced by a new one; an e-mail leads to setting its password. So is an unverified account that " +
		"has the address to which another account moves.",
})

// EmailRequest names an address.
type EmailRequest struct {
	Email string `json:"email" format:"email" maxLength:"254"`
}

// ResendVerification sends the verification e-mail again.
var ResendVerification = declare(Endpoint[EmailRequest, Accepted]{
	Subject: "weft.v1.auth.resend_verification", Route: "POST /v1/auth/email/verify/resend", Access: Public, Status: 202,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true,
	Summary: "Resend the verification e-mail",
	Doc:     "Sends a verification e-mail if the address is unverified. The answer is the same if it is not.",
})

// ChangeEmailRequest names the new address and carries the credentials that confirm the change.
type ChangeEmailRequest struct {
	Email    string `json:"email" format:"email" maxLength:"254"`
	Password string `json:"password" minLength:"1" maxLength:"1024"`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"An authenticator or recovery code; required if an authenticator is enabled."`
}

// ChangeEmail starts a change of the e-mail address.
var ChangeEmail = declare(Endpoint[ChangeEmailRequest, Accepted]{
	Subject: "weft.v1.auth.change_email", Route: "POST /v1/users/me/email", Access: User, Status: 202, Origin: true,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Change my address",
	Doc: "Sends a verification e-mail to the new address; its token makes verify_email change the account's address and notify the " +
		"old one. The answer is the same if another account has the address; an unverified account does not keep it. A wrong password or " +
		"code is invalid.",
})

// RequestPasswordReset sends an e-mail for setting a new password.
var RequestPasswordReset = declare(Endpoint[EmailRequest, Accepted]{
	Subject: "weft.v1.auth.request_password_reset", Route: "POST /v1/auth/password/forgot", Access: Public, Status: 202,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true,
	Summary: "Request a password reset",
	Doc:     "Sends an e-mail with a single-use token for reset_password. The answer is the same if there is no account.",
})

// ResetPasswordRequest carries the token from the e-mail and the new password.
type ResetPasswordRequest struct {
	Token    string `json:"token" minLength:"1" maxLength:"128"`
	Password string `json:"password" minLength:"1" maxLength:"1024"`
}

// ResetPassword sets a new password.
var ResetPassword = declare(Endpoint[ResetPasswordRequest, Empty]{
	Subject: "weft.v1.auth.reset_password", Route: "POST /v1/auth/password/reset", Access: Public, Origin: true,
	Limits: []Limit{PerIP(10, time.Minute)}, Concurrency: 512,
	Summary: "Set a new password",
	Doc: "Takes the token from a reset e-mail, which is valid once and expires, and ends every session and API key of the account. If the " +
		"address was never verified, the account is deleted with everything in it, as by delete_account, and replaced by a new one: somebody " +
		"else may have made it. The new one signs in once every actor has erased the old one; before that, login answers unavailable with " +
		"the reason erasing. A password that the policy rejects does not consume the token.",
})

// ChangePasswordRequest carries the current and the new password, and a code of the second factor.
type ChangePasswordRequest struct {
	CurrentPassword string `json:"current_password" minLength:"1" maxLength:"1024"`
	Password        string `json:"password" minLength:"1" maxLength:"1024"`
	Code            string `json:"code,omitempty" maxLength:"64" doc:"An authenticator or recovery code; required if an authenticator is enabled."`
}

// ChangePassword changes the caller's password.
var ChangePassword = declare(Endpoint[ChangePasswordRequest, Empty]{
	Subject: "weft.v1.auth.change_password", Route: "POST /v1/auth/password/change", Access: User, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Concurrency: 512,
	Summary: "Change my password",
	Doc: "Changes the caller's password and ends all their other sessions. A wrong current password or code is invalid. A password " +
		"that the policy rejects does not consume the code.",
})
