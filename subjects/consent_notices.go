package subjects

import "time"

// Changes that a new version of a notice can make.
const (
	// NoticeMaterial: users agree to something else. Their consents to the purpose need a renewal.
	NoticeMaterial = "material"
	// NoticeEditorial: the same in other words. Consents stay as they are.
	NoticeEditorial = "editorial"
)

// NoticeText is a notice in one language.
type NoticeText struct {
	Language string `json:"language" minLength:"2" maxLength:"35" example:"de-CH" doc:"A BCP 47 tag."`
	Title    string `json:"title,omitempty" maxLength:"200"`
	Text     string `json:"text" minLength:"1" maxLength:"20000" doc:"What the user is shown."`
	Hash     string `json:"hash,omitempty" readOnly:"true" doc:"The SHA-256 of the text in UTF-8, in hexadecimal digits; only in answers."`
}

// PublishNoticeRequest is a new version of a notice.
type PublishNoticeRequest struct {
	NoticeID        string       `json:"notice_id" pattern:"^[a-z][a-z0-9_-]{0,63}$" doc:"The notice's name, the same for all of its versions."`
	PurposeID       string       `json:"purpose_id" maxLength:"64" doc:"The purpose that it is about, from list_scopes. A notice stays with its purpose."`
	Change          string       `json:"change" enum:"material,editorial" doc:"material: users who have consented to the purpose before must be asked again."`
	DefaultLanguage string       `json:"default_language" minLength:"2" maxLength:"35" doc:"The language for users whose own there is no text for. It must have a text."`
	Texts           []NoticeText `json:"texts" minItems:"1" maxItems:"50" doc:"One for each language, together at most 200,000 bytes."`
	ExpectedVersion *int64       `json:"expected_version,omitempty" minimum:"0" doc:"The latest version that the publisher knows; 0 for a new notice."`
}

// Notice is one version of a notice.
type Notice struct {
	NoticeID        string       `json:"notice_id"`
	Version         int64        `json:"version"`
	PurposeID       string       `json:"purpose_id"`
	Scope           string       `json:"scope"`
	Change          string       `json:"change" enum:"material,editorial"`
	DefaultLanguage string       `json:"default_language"`
	Languages       []string     `json:"languages"`
	Texts           []NoticeText `json:"texts,omitempty" doc:"In the answer of publish_notice, and in a list of one version."`
	PublishedAt     time.Time    `json:"published_at"`
	Renewals        int64        `json:"renewals,omitempty" doc:"How many consents need a renewal because of this version, so far."`
	RenewalsPending bool         `json:"renewals_pending,omitempty" doc:"Consents are still being marked."`
}

// PublishNotice publishes a version of a notice.
var PublishNotice = declare(Endpoint[PublishNoticeRequest, Notice]{
	Subject: "weft.v1.consent.publish_notice", Route: "POST /v1/consents/notices", Status: 201, Access: Role(RoleAdmin),
	Summary: "Publish a notice",
	Doc: "Publishes the next version of a notice. Versions never change. After a material change validate_consent and the guards refuse the consents " +
		"to the purpose that were given before, with the reason renewal_required, until the user consents again. They are marked in batches, which " +
		"continue after a restart; list_notices shows how many.",
})

// ListNoticesRequest filters the list.
type ListNoticesRequest struct {
	PageRequest
	NoticeID  string `json:"notice_id,omitempty" in:"query" maxLength:"64"`
	PurposeID string `json:"purpose_id,omitempty" in:"query" maxLength:"64"`
	Version   int64  `json:"version,omitempty" in:"query" minimum:"1" doc:"With notice_id: that version, with its texts."`
}

// ListNotices lists the versions of notices.
var ListNotices = declare(Endpoint[ListNoticesRequest, Page[Notice]]{
	Subject: "weft.v1.consent.list_notices", Route: "GET /v1/consents/notices", Access: User,
	Summary: "The notices",
	Doc:     "Lists the versions of all notices, newest first. One version, by notice_id and version, comes with its texts.",
})

// ServeNoticeRequest asks for the current version of a notice.
type ServeNoticeRequest struct {
	NoticeID     string `json:"notice_id" in:"path" maxLength:"64"`
	Language     string `json:"language,omitempty" maxLength:"35" example:"de-CH" doc:"The user's language (BCP 47). It is shortened until there is a text: de-CH, de, the default."`
	Jurisdiction string `json:"jurisdiction,omitempty" maxLength:"16" pattern:"^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$" doc:"Where the user is: an ISO 3166 code."`
}

// ServedNotice is a notice as it is shown to a user, with the proof of it.
type ServedNotice struct {
	NoticeID       string    `json:"notice_id"`
	Version        int64     `json:"version"`
	PurposeID      string    `json:"purpose_id"`
	PurposeVersion int64     `json:"purpose_version"`
	Scope          string    `json:"scope"`
	Language       string    `json:"language"`
	Title          string    `json:"title,omitempty"`
	Text           string    `json:"text"`
	Hash           string    `json:"hash" doc:"The SHA-256 of the text in UTF-8, in hexadecimal digits."`
	LegalBasis     string    `json:"legal_basis,omitempty"`
	Jurisdiction   string    `json:"jurisdiction,omitempty"`
	GPC            bool      `json:"gpc" doc:"The user's Global Privacy Control opts out of this purpose: say so beside the question."`
	NoticeToken    string    `json:"notice_token" doc:"For grant_consent: a JWS (RFC 7515) of type weft-notice+jwt."`
	ExpiresAt      time.Time `json:"expires_at" doc:"When the token expires."`
}

// ServeNotice returns a notice to show, and a token that proves what was shown.
var ServeNotice = declare(Endpoint[ServeNoticeRequest, ServedNotice]{
	Subject: "weft.v1.consent.serve_notice", Route: "POST /v1/consents/notices/{notice_id}/serve", Access: SignIn, ReadOnly: true, GPC: true,
	Summary: "Serve a notice",
	Doc: "Returns the current text of a notice in the user's language, and a signed token that says which text was served when, for which " +
		"jurisdiction, and whether Global Privacy Control was on. grant_consent takes the token as the proof of what the user was shown. A token " +
		"that was served to a signed-in user is that user's alone.",
})
