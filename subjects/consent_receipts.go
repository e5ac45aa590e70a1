package subjects

import "time"

// ReceiptRequest names a consent and the format of its receipt.
type ReceiptRequest struct {
	ConsentRequest
	Format string `json:"format,omitempty" in:"query" enum:"dpv,kantara" doc:"dpv: ISO/IEC TS 27560 in JSON-LD, signed; kantara: Kantara Consent Receipt 1.1.0. Default dpv."`
}

// GetReceipt returns a consent's receipt.
var GetReceipt = declare(Endpoint[ReceiptRequest, Document]{
	Subject: "weft.v1.consent.get_receipt", Route: "GET /v1/consents/{consent_id}/receipt", Access: User, Produces: "application/ld+json",
	AlsoProduces: "application/json",
	Summary:      "A consent's receipt",
	Doc: "Returns the receipt of a consent or a refusal after ISO/IEC TS 27560:2023, in JSON-LD with terms of the Data Privacy Vocabulary and in the " +
		"profile dpv-27560:receipt-eu-gdpr. It is signed (W3C Data Integrity, eddsa-jcs-2022) and has the ledger's entry with its inclusion proof; for a " +
		"moment after a change the proof is pending. `weft ledger verify-receipt` verifies both.",
})

// ReceiptKeys returns the public keys of receipts.
var ReceiptKeys = declare(Endpoint[Empty, Document]{
	Subject: "weft.v1.consent.receipt_keys", Route: "GET /v1/consents/receipts/keys", Access: Public, Produces: "application/json",
	Summary: "The public keys of receipts",
	Doc:     "The keys that sign receipts, as Multikeys in a controller document (W3C Controlled Identifiers v1.0).",
})

// ExportConsentsRequest selects the format and a part of the export.
type ExportConsentsRequest struct {
	Format string `json:"format,omitempty" in:"query" enum:"json,csv" doc:"Default json."`
	Cursor string `json:"cursor,omitempty" in:"query" maxLength:"1024" doc:"The next_cursor of the part before."`
}

// ExportUserConsents exports the caller's consents.
var ExportUserConsents = declare(Endpoint[ExportConsentsRequest, Document]{
	Subject: "weft.v1.consent.export_user_consents", Route: "GET /v1/consents/export", Access: User, Produces: "application/json",
	AlsoProduces: "text/csv",
	Limits:       []Limit{PerUser(60, time.Minute)},
	Summary:      "Export my consents",
	Doc: "Exports the caller's consents and refusals, each with its history and its receipt, oldest first: JSON, or CSV with a line for each change. An " +
		"export that is too long for one answer continues: JSON has next_cursor, and both have a Link to the next part (RFC 8288).",
})
