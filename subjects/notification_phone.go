package subjects

import "time"

// SetPhoneRequest names a phone number.
type SetPhoneRequest struct {
	Number  string `json:"number" minLength:"4" maxLength:"32" doc:"In international form, such as +49 1512 3456789, or in the form of the country."`
	Country string `json:"country,omitempty" pattern:"^[A-Z]{2}$" doc:"The country (ISO 3166-1 alpha-2) that a number without + is of."`
}

// Phone is the caller's phone number, masked but for its country code and last two digits.
type Phone struct {
	Number     string     `json:"number,omitempty" example:"+49*******89" doc:"The verified number, to which SMS are sent; absent if there is none."`
	Verified   bool       `json:"verified"`
	VerifiedAt *time.Time `json:"verified_at,omitempty"`
	// SuppressedAt is when a provider reported that the number takes no SMS.
	SuppressedAt *time.Time    `json:"suppressed_at,omitempty" doc:"Since when no SMS are sent to the number: a provider reported that it does not exist or has opted out. Setting it again verifies it anew."`
	Pending      *PendingPhone `json:"pending,omitempty" doc:"A number that waits for its code."`
}

// PendingPhone is a number that is not verified yet.
type PendingPhone struct {
	Number       string    `json:"number"`
	ExpiresAt    time.Time `json:"expires_at" doc:"Until when the code is valid."`
	AttemptsLeft int       `json:"attempts_left"`
}

// SetPhone sends a code to a phone number.
var SetPhone = declare(Endpoint[SetPhoneRequest, Phone]{
	Subject: "weft.v1.notification.set_phone", Route: "PUT /v1/notifications/phone", Access: User, Limits: []Limit{PerUser(10, time.Minute)},
	Timeout: 30 * time.Second, Summary: "Set my phone number",
	Doc: "Sends a code of six digits to a mobile number by SMS, which verify_phone takes within ten minutes. A verified number stays in use until " +
		"the new one is verified. Errors: invalid for a number that is no mobile number of an allowed country; unsupported if SMS are not " +
		"configured; rate_limited where the user, the number or its range has got too many codes; unavailable if the SMS cannot be sent now.",
})

// VerifyPhoneRequest has the code of an SMS.
type VerifyPhoneRequest struct {
	Code string `json:"code" pattern:"^[0-9]{6}$" doc:"The six digits of the SMS."`
}

// VerifyPhone verifies the number that a code was sent to.
var VerifyPhone = declare(Endpoint[VerifyPhoneRequest, Phone]{
	Subject: "weft.v1.notification.verify_phone", Route: "POST /v1/notifications/phone/verify", Access: User,
	Limits: []Limit{PerUser(20, time.Minute)}, Summary: "Verify my phone number",
	Doc: "Verifies the number that set_phone sent a code to. Errors: invalid for a wrong code; not_found if no code is valid; rate_limited after too " +
		"many attempts with one code.",
})

// GetPhone returns the caller's phone number.
var GetPhone = declare(Endpoint[Empty, Phone]{
	Subject: "weft.v1.notification.get_phone", Route: "GET /v1/notifications/phone", Access: User,
	Summary: "My phone number", Doc: "Returns the caller's phone number, masked, and whether it is verified.",
})

// DeletePhone deletes the caller's phone number.
var DeletePhone = declare(Endpoint[Empty, Empty]{
	Subject: "weft.v1.notification.delete_phone", Route: "DELETE /v1/notifications/phone", Access: User,
	Summary: "Delete my phone number", Doc: "Deletes the caller's phone number, and one that is not verified yet. No more SMS are sent.",
})
