package subjects

import "time"

// Methods by which a consent or a refusal was given.
const (
	// MethodUnproven: no token of a served notice was given, so nothing proves what the user was shown.
	MethodUnproven = "unproven"
	// MethodServedNotice: a notice was served, and nothing more is known.
	MethodServedNotice = "served_notice"
)

// The person who decided.
const (
	ActedByUser     = "user"
	ActedByGuardian = "guardian"
)

// What somebody acted through.
const (
	ActedViaSession     = "session"
	ActedViaAPIKey      = "api_key"
	ActedViaOAuthClient = "oauth_client"
)

// What is known of the user's age.
const (
	AgeUnknown = "unknown"
	AgeOfAge   = "of_age"
	AgeMinor   = "minor"
)

// Guardian is who consents for a minor, as the operator's app has established it.
type Guardian struct {
	Name     string `json:"name" minLength:"1" maxLength:"200" doc:"The name of the guardian, or the app's id of them."`
	Method   string `json:"method" enum:"signed_form,payment,government_id,video_call,phone_call,knowledge_questions,face_match,email_plus,text_plus,account,other" doc:"How the app has verified the guardian (compare 16 CFR 312.5(b)(2))."`
	Evidence string `json:"evidence" minLength:"1" maxLength:"500" doc:"Where the app keeps the proof, such as the id of a document; not the proof itself."`
}

// ConsentRecord is what is recorded when a consent is given or refused. It never changes.
type ConsentRecord struct {
	PurposeID      string `json:"purpose_id" doc:"The purpose of the scope, from list_scopes."`
	PurposeVersion int64  `json:"purpose_version"`
	LegalBasis     string `json:"legal_basis,omitempty" example:"gdpr:6-1-a" doc:"The purpose's legal basis in the jurisdiction."`

	NoticeID       string     `json:"notice_id,omitempty"`
	NoticeVersion  string     `json:"notice_version,omitempty" doc:"The version of the served notice; without one what the request named."`
	NoticeHash     string     `json:"notice_hash,omitempty" doc:"The SHA-256 of the served text, in hexadecimal digits."`
	NoticeLanguage string     `json:"notice_language,omitempty" example:"de-CH"`
	NoticeServedAt *time.Time `json:"notice_served_at,omitempty"`

	Method          string `json:"method" enum:"unproven,served_notice,web_form,mobile_app,voice,written" doc:"unproven: without the token of a served notice."`
	UIContext       string `json:"ui_context,omitempty"`
	CollectionPlace string `json:"collection_place,omitempty"`

	ActedBy    string `json:"acted_by" enum:"user,guardian"`
	ActedVia   string `json:"acted_via,omitempty" enum:"session,api_key,oauth_client"`
	ActedViaID string `json:"acted_via_id,omitempty"`

	AgeClass     string    `json:"age_class" enum:"unknown,of_age,minor"`
	AgeThreshold int       `json:"age_threshold,omitempty" doc:"The age of consent in the jurisdiction, if an age was given."`
	Guardian     *Guardian `json:"guardian,omitempty"`

	GPCConflict bool `json:"gpc_conflict,omitempty" doc:"The user opted in although their Global Privacy Control opts out."`
}
