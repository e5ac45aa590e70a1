package subjects

import "time"

// Consent is one consent of a user to one scope.
type Consent struct {
	ID            string     `json:"id"`
	Scope         string     `json:"scope"`
	Purpose       string     `json:"purpose,omitempty"`
	NoticeVersion string     `json:"notice_version,omitempty"`
	Jurisdiction  string     `json:"jurisdiction,omitempty"`
	Status        string     `json:"status" enum:"active,revoked,expired,superseded"`
	GrantedAt     time.Time  `json:"granted_at"`
	ExpiresAt     time.Time  `json:"expires_at"`
	RevokedAt     *time.Time `json:"revoked_at,omitempty"`
	RevokeReason  string     `json:"revoke_reason,omitempty"`
	SupersededBy  string     `json:"superseded_by,omitempty" doc:"The consent that renewed this one."`
}

// ConsentReceipt is the record that the user keeps (after ISO/IEC TS 27560:2023).
type ConsentReceipt struct {
	SchemaVersion string    `json:"schema_version" example:"ISO-27560:2023"`
	RecordID      string    `json:"record_id"`
	SubjectID     string    `json:"pii_principal_id"`
	Scope         string    `json:"scope"`
	Purpose       string    `json:"purpose,omitempty"`
	NoticeVersion string    `json:"notice_version,omitempty"`
	Jurisdiction  string    `json:"jurisdiction,omitempty"`
	GivenAt       time.Time `json:"event_time"`
	ExpiresAt     time.Time `json:"validity_end"`
}

// GrantConsentRequest says what the user consents to.
type GrantConsentRequest struct {
	Scope         string     `json:"scope" enum:"user.profile.read,user.profile.write,integrations.read,integrations.connect,integrations.execute,workflows.read,workflows.execute,notifications.send,notifications.marketing"`
	Purpose       string     `json:"purpose,omitempty" maxLength:"500"`
	NoticeVersion string     `json:"notice_version,omitempty" maxLength:"64"`
	ExpiresAt     *time.Time `json:"expires_at,omitempty" doc:"In the future; 365 days from now unless given or configured."`
	Jurisdiction  string     `json:"jurisdiction,omitempty" maxLength:"16" pattern:"^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$" doc:"ISO 3166 code."`
}

// GrantedConsent is a new consent and its receipt.
type GrantedConsent struct {
	Consent
	Receipt ConsentReceipt `json:"receipt"`
}

// GrantConsent records a consent.
var GrantConsent = declare(Endpoint[GrantConsentRequest, GrantedConsent]{
	Subject: "weft.v1.consent.grant_consent", Route: "POST /v1/consents", Status: 201, Access: User,
	Location: "/v1/consents/{id}",
	Summary:  "Consent to a scope",
	Doc: "Records the user's consent to a scope. An active consent to the same scope is superseded: what was begun under " +
		"it goes on under the new one.",
})

// RevokeConsentRequest names the consent to revoke.
type RevokeConsentRequest struct {
	ConsentID string `json:"consent_id" in:"path" format:"uuid"`
	Reason    string `json:"reason,omitempty" maxLength:"500"`
}

// RevokeConsent takes a consent back.
var RevokeConsent = declare(Endpoint[RevokeConsentRequest, Consent]{
	Subject: "weft.v1.consent.revoke_consent", Route: "POST /v1/consents/{consent_id}/revoke", Access: User,
	Summary: "Revoke a consent",
	Doc: "Takes a consent back. Once it has answered, no action starts under the consent, at any node: every live guard has " +
		"taken note or its lease has ended. Revoking a revoked consent answers with it.",
})

// ValidateConsentRequest asks whether a user has consented to a scope.
type ValidateConsentRequest struct {
	UserID string `json:"user_id,omitempty" format:"uuid" doc:"For services only; a user is always asked about themselves."`
	Scope  string `json:"scope" maxLength:"64"`
}

// ConsentDecision is the answer to it.
type ConsentDecision struct {
	Allowed   bool       `json:"allowed"`
	Reason    string     `json:"reason" enum:"active,missing,revoked,expired"`
	Scope     string     `json:"scope"`
	ConsentID string     `json:"consent_id,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// ValidateConsent answers whether something may be done under a scope now.
var ValidateConsent = declare(Endpoint[ValidateConsentRequest, ConsentDecision]{
	Subject: "weft.v1.consent.validate_consent", Route: "POST /v1/consents/validate", ReadOnly: true,
	Access:  User.Or(ServiceWithoutGrant("integration", "workflow", "notification")),
	Summary: "May it be done?",
	Doc:     "Answers whether the user's consent to a scope is active now.",
})

// BulkValidateConsentsRequest asks about several scopes.
type BulkValidateConsentsRequest struct {
	Checks []ValidateConsentRequest `json:"checks" minItems:"1" maxItems:"100"`
}

// BulkConsentDecisions are the answers, in the order of the checks.
type BulkConsentDecisions struct {
	Results []ConsentDecision `json:"results"`
}

// BulkValidateConsents answers several questions at once.
var BulkValidateConsents = declare(Endpoint[BulkValidateConsentsRequest, BulkConsentDecisions]{
	Subject: "weft.v1.consent.bulk_validate_consents", Route: "POST /v1/consents/validate/bulk", ReadOnly: true,
	Access:  User.Or(ServiceWithoutGrant("integration", "workflow", "notification")),
	Summary: "May they be done?",
	Doc:     "Answers as validate_consent does, for up to 100 checks, in their order.",
})

// ConsentRequest names a consent.
type ConsentRequest struct {
	ConsentID string `json:"consent_id" in:"path" format:"uuid"`
}

// GetConsent answers with one of the caller's consents.
var GetConsent = declare(Endpoint[ConsentRequest, Consent]{
	Subject: "weft.v1.consent.get_consent", Route: "GET /v1/consents/{consent_id}", Access: User,
	Summary: "One consent", Doc: "Answers with one of the caller's consents.",
})

// GetReceipt answers with a consent's receipt.
var GetReceipt = declare(Endpoint[ConsentRequest, ConsentReceipt]{
	Subject: "weft.v1.consent.get_receipt", Route: "GET /v1/consents/{consent_id}/receipt", Access: User,
	Summary: "A consent's receipt", Doc: "Answers with the record of a consent that the user keeps.",
})

// ListConsentsRequest narrows the list.
type ListConsentsRequest struct {
	PageRequest
	Status string `json:"status,omitempty" in:"query" enum:"active,revoked,expired,superseded"`
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
	Change    string    `json:"change" enum:"granted,revoked,superseded"`
	At        time.Time `json:"at"`
	Reason    string    `json:"reason,omitempty"`
}

// ConsentHistoryRequest names a consent and a page.
type ConsentHistoryRequest struct {
	ConsentRequest
	PageRequest
}

// GetConsentHistory lists what became of a consent.
var GetConsentHistory = declare(Endpoint[ConsentHistoryRequest, Page[ConsentEntry]]{
	Subject: "weft.v1.consent.get_consent_history", Route: "GET /v1/consents/{consent_id}/history", Access: User,
	Summary: "A consent's history", Doc: "Lists every change of a consent, oldest first.",
})

// ScopeInfo explains a scope.
type ScopeInfo struct {
	Scope       string `json:"scope"`
	Description string `json:"description"`
}

// ListScopes explains the scopes.
var ListScopes = declare(Endpoint[Empty, Page[ScopeInfo]]{
	Subject: "weft.v1.consent.list_scopes", Route: "GET /v1/consents/scopes", Access: User,
	Summary: "The scopes", Doc: "Lists what can be consented to.",
})

// ConsentChanged tells that a consent was granted, superseded or revoked.
var ConsentChanged = declareEvent(Event[ConsentEntry]{
	Subject: "weft.event.v1.consent.changed",
	Doc:     "A consent was granted, superseded or revoked.",
})

// ConsentState is what the bucket consent_state keeps for each user and scope, under the key
// kv.EncodeKey(user, scope): what the guard reads at the moment of starting.
type ConsentState struct {
	ConsentID string `json:"consent_id"`
	// Version counts the consents of this user to this scope. A state never gives way to an older one.
	Version int64 `json:"version"`
	// Continues are earlier consents that this one renewed without a revocation between, newest first,
	// at most twenty: what was begun under one of them may go on.
	Continues []string   `json:"continues,omitempty"`
	Status    string     `json:"status" enum:"active,revoked"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}
