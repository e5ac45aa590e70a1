package subjects

// MaxBulkChecks is the number of checks that one call of BulkValidateConsents may make, over all its entries.
const MaxBulkChecks = 1000

// ConsentCheck is an entry of BulkValidateConsents: a user and either one scope or several.
type ConsentCheck struct {
	UserID string   `json:"user_id,omitempty" format:"uuid" doc:"Another user than the caller is for services, forbidden to others. Default: the caller."`
	Scope  string   `json:"scope,omitempty" maxLength:"64" doc:"The scope to check; or give scopes."`
	Scopes []string `json:"scopes,omitempty" minItems:"1" maxItems:"100" doc:"The scopes to check, each of at most 64 characters, in place of scope. Each is one check."`
}

// BulkValidateConsentsRequest lists the checks to make.
type BulkValidateConsentsRequest struct {
	Checks []ConsentCheck `json:"checks" minItems:"1" maxItems:"1000" doc:"At most 1,000 checks, the scopes of all entries counted."`
}

// BulkConsentDecision is the result of one check.
type BulkConsentDecision struct {
	Check int `json:"check" minimum:"0" doc:"The entry of checks that it belongs to, from 0."`
	ConsentDecision
}

// BulkConsentDecisions are the results: entry by entry in the order of the checks, and within an entry in the order of its scopes.
type BulkConsentDecisions struct {
	Results []BulkConsentDecision `json:"results"`
}

// BulkValidateConsents checks several consents at once.
var BulkValidateConsents = declare(Endpoint[BulkValidateConsentsRequest, BulkConsentDecisions]{
	Subject: "weft.v1.consent.bulk_validate_consents", Route: "POST /v1/consents/validate/bulk", ReadOnly: true, GPC: true,
	MaxMessage: 256 << 10,
	Access:     User.Or(ServiceWithoutGrant("integration", "workflow", "notification")),
	Summary:    "Check several consents",
	Doc: "Performs up to 1,000 checks of validate_consent, all at the same moment, and returns one result for each, in their order: an entry with several " +
		"scopes has as many results. A check that is repeated is answered again.",
})
