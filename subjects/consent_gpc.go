package subjects

import "time"

// GPCStatusRequest says where the user is.
type GPCStatusRequest struct {
	Region string `json:"region,omitempty" in:"query" maxLength:"16" pattern:"^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$" example:"US-CA" doc:"An ISO 3166 code. Default: unknown, in which the signal is honoured."`
}

// GPCDirective is the standing opt-out of an account.
type GPCDirective struct {
	Since  time.Time `json:"since"`
	Region string    `json:"region,omitempty"`
}

// GPCConflict is a consent that a user has given although their Global Privacy Control opts out.
type GPCConflict struct {
	Scope     string    `json:"scope"`
	ConsentID string    `json:"consent_id"`
	GrantedAt time.Time `json:"granted_at"`
}

// GPCStatus is what Global Privacy Control does for the caller.
type GPCStatus struct {
	Signal     bool          `json:"signal" doc:"This request has Sec-GPC: 1."`
	Region     string        `json:"region,omitempty"`
	Applies    bool          `json:"applies" doc:"The signal is honoured in the region."`
	Suppressed []string      `json:"suppressed" doc:"The scopes that are refused because of the signal or the directive."`
	Directive  *GPCDirective `json:"directive,omitempty" doc:"The account's standing opt-out, once a signal was seen while signed in."`
	Conflicts  []GPCConflict `json:"conflicts" doc:"What the user has opted in to nevertheless, which is in force."`
}

// GPCStatusOf shows the state of Global Privacy Control.
var GPCStatusOf = declare(Endpoint[GPCStatusRequest, GPCStatus]{
	Subject: "weft.v1.consent.gpc_status", Route: "GET /v1/consents/gpc", Access: SignIn, GPC: true,
	Summary: "Global Privacy Control",
	Doc: "Returns whether the request has the Global Privacy Control signal (Sec-GPC: 1), whether it is honoured in the region, and which scopes it " +
		"suppresses, to be shown to the user (11 CCR 7025(c)(6)). The signal of a signed-in user becomes a standing directive of the account, " +
		"here and wherever the consent actor sees it.",
})
