package subjects

import "time"

// VerifyEmailRequest carries the token of a verification mail.
type VerifyEmailRequest struct {
	Token string `json:"token" minLength:"1" maxLength:"128"`
}

// VerifyEmail proves that an address is its owner's.
var VerifyEmail = declare(Endpoint[VerifyEmailRequest, Empty]{
	Subject: "weft.v1.auth.verify_email", Route: "POST /v1/auth/email/verify", Access: Public, Origin: true,
	Limits:  []Limit{PerIP(30, time.Minute)},
	Summary: "Verify an address",
	Doc: "Takes the token of a verification mail, once and within its time: the address is verified, or, after " +
		"change_email, becomes the account's. A token that is not good any more is invalid; an address that another " +
		"account has by now is a conflict. Where the address was registered more than once before, none of the passwords given " +
		"then stays, nor anything else that was made of the account: a mail leads to setting a new one.",
})

// EmailRequest names an address.
type EmailRequest struct {
	Email string `json:"email" format:"email" maxLength:"254"`
}

// ResendVerification sends the verification mail again.
var ResendVerification = declare(Endpoint[EmailRequest, Accepted]{
	Subject: "weft.v1.auth.resend_verification", Route: "POST /v1/auth/email/verify/resend", Access: Public, Status: 202,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true,
	Summary: "Send the verification again",
	Doc:     "Sends a verification mail where the address waits for one. It answers alike whether it does or not.",
})

// ChangeEmailRequest names the new address; password and code prove that it is the owner who asks.
type ChangeEmailRequest struct {
	Email    string `json:"email" format:"email" maxLength:"254"`
	Password string `json:"password" minLength:"1" maxLength:"1024"`
	Code     string `json:"code,omitempty" maxLength:"64" doc:"Of the authenticator, or a recovery code; needed where an authenticator is on."`
}

// ChangeEmail begins a change of address.
var ChangeEmail = declare(Endpoint[ChangeEmailRequest, Accepted]{
	Subject: "weft.v1.auth.change_email", Route: "POST /v1/users/me/email", Access: User, Status: 202, Origin: true,
	Limits:  []Limit{PerUser(10, time.Minute)},
	Summary: "Change my address",
	Doc: "Sends a verification mail to the new address; with its token, verify_email makes it the account's, and the old " +
		"address is told. It answers alike for an address that another account has. A wrong password or code is invalid.",
})

// RequestPasswordReset sends a mail with which a password can be set.
var RequestPasswordReset = declare(Endpoint[EmailRequest, Accepted]{
	Subject: "weft.v1.auth.request_password_reset", Route: "POST /v1/auth/password/forgot", Access: Public, Status: 202,
	Limits: []Limit{PerIP(10, time.Minute)}, Origin: true,
	Summary: "Forgot the password",
	Doc:     "Sends a mail with a single-use token for reset_password. It answers alike whether there is an account or not.",
})

// ResetPasswordRequest carries the mail's token and the new password.
type ResetPasswordRequest struct {
	Token    string `json:"token" minLength:"1" maxLength:"128"`
	Password string `json:"password" minLength:"1" maxLength:"1024"`
}

// ResetPassword sets a new password.
var ResetPassword = declare(Endpoint[ResetPasswordRequest, Empty]{
	Subject: "weft.v1.auth.reset_password", Route: "POST /v1/auth/password/reset", Access: Public, Origin: true,
	Limits: []Limit{PerIP(10, time.Minute)}, Concurrency: 512,
	Summary: "Set a new password",
	Doc: "Takes the token of a reset mail, once and within its time, and ends every session of the account. Where nobody had " +
		"verified the address before, it is verified by this, and API keys and second factors go. A password that " +
		"the policy refuses does not use the token up.",
})

// ChangePasswordRequest carries the old and the new password, and the second factor.
type ChangePasswordRequest struct {
	CurrentPassword string `json:"current_password" minLength:"1" maxLength:"1024"`
	Password        string `json:"password" minLength:"1" maxLength:"1024"`
	Code            string `json:"code,omitempty" maxLength:"64" doc:"Of the authenticator, or a recovery code; needed where an authenticator is on."`
}

// ChangePassword changes the caller's password.
var ChangePassword = declare(Endpoint[ChangePasswordRequest, Empty]{
	Subject: "weft.v1.auth.change_password", Route: "POST /v1/auth/password/change", Access: User, Origin: true,
	Limits: []Limit{PerUser(10, time.Minute)}, Concurrency: 512,
	Summary: "Change my password",
	Doc: "Changes the caller's password and ends every other session of theirs. A wrong current password or code is invalid. A " +
		"password that the policy refuses does not use the code up.",
})
