package consent

import "github.com/weftmesh/weft/actors/dataexport"

// omittedInternal is a reason for which columns are not exported.
const omittedInternal = "weft's own bookkeeping; it says nothing about the person"

// ExportSet is what the actor exports of a user from its tables.
func ExportSet() dataexport.Set {
	const public = "public, and has no data from which a person can be told"
	return dataexport.Set{Sealed: Sealed, Omitted: map[string]string{
		"ledger_state": public, "ledger_tiles": public, "ledger_leaves": public, "ledger_witnesses": public,
		"receipt_keys": "has no data of users", "consent_keys": "has no data of users",
		"consent_notices": "the same for everybody, at /v1/consents/notices", "consent_notice_texts": "the same for everybody, at /v1/consents/notices",
	}, Sources: []dataexport.Source{
		{
			Name: "consents", Doc: "Consents and refusals.", Key: []string{"id"},
			Columns: "id user_id scope version purpose jurisdiction status granted_at:time expires_at:time revoked_at:time revoke_reason superseded_by " +
				"renewal_notice renewal_at:time suppressed_at:time purpose_id purpose_version legal_basis notice_id notice_version notice_hash notice_language " +
				"notice_served_at:time method ui_context collection_place acted_by acted_via acted_via_id age_class age_threshold guardian_name " +
				"guardian_method guardian_evidence gpc_conflict:bool",
			Omitted: map[string]string{"continues": omittedInternal},
		},
		{
			Name: "consent_entries", Doc: "Each change of a consent.", Key: []string{"id"},
			Of: "consent_id IN (SELECT id FROM consents WHERE user_id = ?)", Columns: "id consent_id change at:time reason",
			Omitted: map[string]string{"salt": "protects the ledger's commitment; the receipt has it"},
		},
		{
			Name: "consent_expiry_notices", Doc: "Notices that a consent expires soon.", Key: []string{"consent_id"},
			Of: "consent_id IN (SELECT id FROM consents WHERE user_id = ?)", Columns: "consent_id sent_at:time",
		},
		{
			Name: "consent_subjects", Doc: "The pseudonym under which the ledger has the person.", Key: []string{"user_id"}, Columns: "user_id id",
			Omitted: map[string]string{"sealed_key": "it is a key"},
		},
		{
			Name: "consent_gpc", Doc: "The opt-out that was seen as Global Privacy Control.", Key: []string{"user_id"},
			Columns: "user_id region since:time applied:bool",
		},
		{
			Name: "privacy_requests", Doc: "Requests for access, portability, rectification and erasure.", Key: []string{"id"},
			Columns: "id user_id kind status format fields:json note resolution requested_at:time due_at:time extended_at:time extension_reason ended_at:time " +
				"erasure_id problem file_size file_sha256 file_expires_at:time",
			Omitted: map[string]string{
				"next_at": omittedInternal, "attempts": omittedInternal, "attempt": omittedInternal, "file_key": "it is a key", "file_parts": omittedInternal,
			},
		},
		{
			Name: "privacy_request_actors", Doc: "What was done for a request.", Derived: true, Key: []string{"request_id", "actor"},
			Of: "request_id IN (SELECT id FROM privacy_requests WHERE user_id = ?)", Columns: "request_id actor items at:time",
		},
	}}
}

// exportSet is ExportSet with what is not in tables.
func (a *Actor) exportSet() dataexport.Set {
	set := ExportSet()
	set.Sources = append(set.Sources, dataexport.Source{
		Name: "receipts", Doc: "The receipt of each consent.", Columns: "consent_id receipt", Read: receiptIssuer{a}.exportReceipts,
	})
	return set
}
