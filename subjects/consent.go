package subjects

import (
	"encoding/json"
	"time"
)

// Statuses of a consent.
const (
	ConsentActive     = "active"
	ConsentRevoked    = "revoked"
	ConsentExpired    = "expired"
	ConsentSuperseded = "superseded"
	// ConsentRefused: the user was asked and said no. It is no consent and never becomes one.
	ConsentRefused = "refused"
	// ConsentRenewalRequired: a material change of the purpose's notice was published after the consent.
	ConsentRenewalRequired = "renewal_required"
	// ConsentGPC: the user's Global Privacy Control opts out of the scope.
	ConsentGPC = "gpc"
)

// Consent is one consent of a user to one scope.
type Consent struct {
	ID            string     `json:"id"`
	Scope         string     `json:"scope"`
	Purpose       string     `json:"purpose,omitempty" doc:"What the request said of the purpose."`
	Jurisdiction  string     `json:"jurisdiction,omitempty"`
	Status        string     `json:"status" enum:"active,revoked,expired,superseded,refused,renewal_required,gpc"`
	GrantedAt     time.Time  `json:"granted_at" doc:"When the consent was given, or refused."`
	ExpiresAt     time.Time  `json:"expires_at" doc:"Of a refusal: until when the app should not ask again."`
	RevokedAt     *time.Time `json:"revoked_at,omitempty"`
	RevokeReason  string     `json:"revoke_reason,omitempty"`
	SupersededBy  string     `json:"superseded_by,omitempty" doc:"The consent that renewed this one."`
	RenewalNotice string     `json:"renewal_notice,omitempty" doc:"The notice whose material change asks for a renewal, as id@version."`
	RenewalAt     *time.Time `json:"renewal_at,omitempty"`
	SuppressedAt  *time.Time `json:"suppressed_at,omitempty" doc:"When Global Privacy Control suppressed the consent."`
	ConsentRecord
}

// Decisions of a user who was asked for consent.
const (
	DecisionGiven   = "given"
	DecisionRefused = "refused"
)

// GrantConsentRequest describes the consent, or the refusal, to record.
type GrantConsentRequest struct {
	Scope           string     `json:"scope" maxLength:"64" doc:"One of list_scopes. Each has one purpose: a request consents to one purpose."`
	Decision        string     `json:"decision,omitempty" enum:"given,refused" doc:"Default given. A refusal is recorded and allows nothing."`
	Purpose         string     `json:"purpose,omitempty" maxLength:"500" doc:"The app's own words for the purpose."`
	NoticeToken     string     `json:"notice_token,omitempty" maxLength:"2048" doc:"The token of serve_notice. Without it the record's method is unproven."`
	NoticeVersion   string     `json:"notice_version,omitempty" maxLength:"64" doc:"The version that the app has shown. With notice_token it must be the token's."`
	Method          string     `json:"method,omitempty" enum:"served_notice,web_form,mobile_app,voice,written" doc:"How the user has expressed it; only with notice_token. Default served_notice."`
	UIContext       string     `json:"ui_context,omitempty" maxLength:"200" doc:"Where in the app the user was asked, such as onboarding/step-2."`
	CollectionPlace string     `json:"collection_place,omitempty" maxLength:"500" doc:"Where the consent was collected: the URL of a page, or a place."`
	ExpiresAt       *time.Time `json:"expires_at,omitempty" doc:"In the future; default 365 days from now unless configured otherwise."`
	Jurisdiction    string     `json:"jurisdiction,omitempty" maxLength:"16" pattern:"^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$" doc:"An ISO 3166 code. Default: that of the notice token."`
	Age             *int       `json:"age,omitempty" minimum:"0" maximum:"150" doc:"The user's age in years, if the app knows it. A minor's consent needs a guardian. The age itself is not kept."`
	Guardian        *Guardian  `json:"guardian,omitempty" doc:"Who consents for the user."`
}

// GrantedConsent is a new consent and its receipt.
type GrantedConsent struct {
	Consent
	Receipt json.RawMessage `json:"receipt" doc:"As get_receipt returns it; its proof is pending."`
}

// GrantConsent records a consent.
var GrantConsent = declare(Endpoint[GrantConsentRequest, GrantedConsent]{
	Subject: "weft.v1.consent.grant_consent", Route: "POST /v1/consents", Status: 201, Access: User, GPC: true,
	Location: "/v1/consents/{id}",
	Summary:  "Consent to a scope",
	Doc: "Records the user's consent to a scope. An active consent to the same scope is superseded; work that began under it " +
		"continues under the new one. With decision refused it records that the user said no; while a consent to the scope is in force that is " +
		"a conflict, because a refusal would not end it: revoke it.",
})

// RevokeConsentRequest names the consent to revoke.
type RevokeConsentRequest struct {
	ConsentID string `json:"consent_id" in:"path" format:"uuid"`
	Reason    string `json:"reason,omitempty" maxLength:"500"`
}

// RevokeConsent revokes a consent.
var RevokeConsent = declare(Endpoint[RevokeConsentRequest, Consent]{
	Subject: "weft.v1.consent.revoke_consent", Route: "POST /v1/consents/{consent_id}/revoke", Access: User,
	Summary: "Revoke a consent",
	Doc: "Revokes a consent. When the call returns, no node starts an action under it: every live guard has acknowledged the " +
		"revocation or its lease has expired. Revoking a revoked consent returns it unchanged.",
})

// ValidateConsentRequest names the scope to check.
type ValidateConsentRequest struct {
	UserID string `json:"user_id,omitempty" format:"uuid" doc:"Another user than the caller is for services, forbidden to others. Default: the caller."`
	Scope  string `json:"scope" maxLength:"64"`
}

// ConsentDecision is the result of a check.
type ConsentDecision struct {
	Allowed   bool       `json:"allowed"`
	Reason    string     `json:"reason" enum:"active,missing,revoked,expired,renewal_required,gpc"`
	Scope     string     `json:"scope"`
	ConsentID string     `json:"consent_id,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// ValidateConsent checks whether a user's consent to a scope is active.
var ValidateConsent = declare(Endpoint[ValidateConsentRequest, ConsentDecision]{
	Subject: "weft.v1.consent.validate_consent", Route: "POST /v1/consents/validate", ReadOnly: true, GPC: true,
	Access:  User.Or(ServiceWithoutGrant("integration", "workflow", "notification")),
	Summary: "Check a consent",
	Doc:     "Returns whether the user's consent to a scope is currently active.",
})

// ConsentRequest names a consent.
type ConsentRequest struct {
	ConsentID string `json:"consent_id" in:"path" format:"uuid"`
}

// GetConsent returns one of the caller's consents.
var GetConsent = declare(Endpoint[ConsentRequest, Consent]{
	Subject: "weft.v1.consent.get_consent", Route: "GET /v1/consents/{consent_id}", Access: User,
	Summary: "One consent", Doc: "Returns one of the caller's consents.",
})

// ListConsentsRequest filters the list.
type ListConsentsRequest struct {
	PageRequest
	Status string `json:"status,omitempty" in:"query" enum:"active,revoked,expired,superseded,refused,renewal_required,gpc"`
	Scope  string `json:"scope,omitempty" in:"query" maxLength:"64"`
}

// ListConsents lists the caller's consents.
var ListConsents = declare(Endpoint[ListConsentsRequest, Page[Consent]]{
	Subject: "weft.v1.consent.list_consents", Route: "GET /v1/consents", Access: User,
	Summary: "My consents", Doc: "Lists the caller's consents, newest first.",
})

// ConsentEntry is one change of a consent.
type ConsentEntry struct {
	ID        string    `json:"id"`
	ConsentID string    `json:"consent_id"`
	Change    string    `json:"change" enum:"granted,refused,revoked,superseded,renewal_required,gpc"`
	At        time.Time `json:"at"`
	Reason    string    `json:"reason,omitempty"`
}

// ConsentHistoryRequest names a consent and selects a page.
type ConsentHistoryRequest struct {
	ConsentRequest
	PageRequest
}

// GetConsentHistory lists the changes of a consent.
var GetConsentHistory = declare(Endpoint[ConsentHistoryRequest, Page[ConsentEntry]]{
	Subject: "weft.v1.consent.get_consent_history", Route: "GET /v1/consents/{consent_id}/history", Access: User,
	Summary: "A consent's history", Doc: "Lists every change of a consent, oldest first.",
})

// Kinds of disclosure to third parties that a purpose can be (Cal. Civ. Code §1798.140(ad), (ah)).
const (
	KindSale  = "sale"
	KindShare = "share"
)

// ScopeInfo describes a scope and its purpose.
type ScopeInfo struct {
	Scope          string            `json:"scope"`
	Description    string            `json:"description"`
	Descriptions   map[string]string `json:"descriptions,omitempty" doc:"The description by language (BCP 47)."`
	PurposeID      string            `json:"purpose_id"`
	PurposeVersion int64             `json:"purpose_version"`
	LegalBasis     map[string]string `json:"legal_basis" doc:"The legal basis by jurisdiction: an ISO 3166 code, EU, or default."`
	DataCategories []string          `json:"data_categories" doc:"Terms of the Data Privacy Vocabulary."`
	Recipients     []string          `json:"recipients"`
	Retention      string            `json:"retention,omitempty"`
	SaleOrShare    string            `json:"sale_or_share,omitempty" enum:"sale,share" doc:"Set if the purpose sells or shares personal information (CCPA)."`
}

// ListScopes lists the scopes.
var ListScopes = declare(Endpoint[Empty, Page[ScopeInfo]]{
	Subject: "weft.v1.consent.list_scopes", Route: "GET /v1/consents/scopes", Access: User,
	Summary: "The scopes", Doc: "Lists the scopes that a user can consent to.",
})

// ConsentChange is the data of ConsentChanged.
type ConsentChange struct {
	ConsentEntry
	Scope          string `json:"scope"`
	PurposeID      string `json:"purpose_id,omitempty"`
	PurposeVersion int64  `json:"purpose_version,omitempty"`
}

// ConsentChanged is published when a consent has changed.
var ConsentChanged = declareEvent(Event[ConsentChange]{
	Subject: "weft.event.v1.consent.changed",
	Doc: "A consent was granted, refused, superseded, revoked, suppressed by Global Privacy Control, or needs a renewal. The event has no reason: " +
		"get_consent_history has it.",
})

// ConsentState is a value of the bucket consent_state, under the key kv.EncodeKey(user, scope). The guard reads it immediately
// before an action starts.
type ConsentState struct {
	ConsentID string `json:"consent_id"`
	// Version counts the user's consents to this scope. An older state never overwrites a newer one.
	Version int64 `json:"version"`
	// Continues lists earlier consents that this one renewed without a revocation in between, newest first, at most
	// twenty. Work that began under one of them may continue.
	Continues []string   `json:"continues,omitempty"`
	Status    string     `json:"status" enum:"active,revoked,renewal_required,gpc"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}
