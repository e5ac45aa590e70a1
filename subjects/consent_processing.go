package subjects

import "time"

// ProcessingParty is somebody whom the record of processing activities names.
type ProcessingParty struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
	Email   string `json:"email,omitempty"`
	Phone   string `json:"phone,omitempty"`
	URL     string `json:"url,omitempty"`
}

// ProcessingRecord is one processing activity.
type ProcessingRecord struct {
	ID             string            `json:"id" doc:"The id of the purpose."`
	Version        int64             `json:"version"`
	Purpose        string            `json:"purpose" doc:"GDPR Art. 30(1)(b)."`
	Scope          string            `json:"scope,omitempty" doc:"The scope that users consent to; absent if the processing needs no consent."`
	LegalBasis     map[string]string `json:"legal_basis" doc:"By jurisdiction."`
	DataSubjects   []string          `json:"data_subjects" doc:"Art. 30(1)(c)."`
	DataCategories []string          `json:"data_categories" doc:"Art. 30(1)(c)."`
	Recipients     []string          `json:"recipients" doc:"Art. 30(1)(d)."`
	Retention      string            `json:"retention" doc:"Art. 30(1)(f)."`
	SaleOrShare    string            `json:"sale_or_share,omitempty" enum:"sale,share"`
}

// ProcessingRecords is the record of processing activities of a controller (GDPR Art. 30(1)).
type ProcessingRecords struct {
	GeneratedAt         time.Time          `json:"generated_at"`
	Controller          ProcessingParty    `json:"controller" doc:"Art. 30(1)(a)."`
	Representative      *ProcessingParty   `json:"representative,omitempty"`
	DPO                 *ProcessingParty   `json:"data_protection_officer,omitempty"`
	Authority           *ProcessingParty   `json:"supervisory_authority,omitempty"`
	StorageLocations    []string           `json:"storage_locations"`
	ProcessingLocations []string           `json:"processing_locations"`
	Transfers           string             `json:"transfers" doc:"To third countries, with their safeguards: Art. 30(1)(e)."`
	Security            string             `json:"security" doc:"Art. 30(1)(g)."`
	Items               []ProcessingRecord `json:"items"`
	Missing             []string           `json:"missing" doc:"Settings that Art. 30(1) needs and that are empty."`
}

// ListProcessingRecords returns the record of processing activities.
var ListProcessingRecords = declare(Endpoint[Empty, ProcessingRecords]{
	Subject: "weft.v1.consent.list_processing_records", Route: "GET /v1/consents/processing-records", Access: Role(RoleAdmin),
	Summary: "The record of processing activities",
	Doc: "Returns the record of processing activities (GDPR Art. 30(1)), made of the settings consent.controller and consent.purposes, and of what weft " +
		"processes without consent. missing names the settings that are still empty.",
})
