package receipt

import "time"

// NotStated is the value of a mandatory field that the operator has not configured.
const NotStated = "not stated"

// Party is somebody who has to do with the processing. ID is an IRI.
type Party struct {
	ID, Name, Address, Email, Phone, URL string
}

// Notice is what the person was shown.
type Notice struct {
	ID, Version, Hash, Language string
	ServedAt                    time.Time
}

// Purpose is what the consent is for.
type Purpose struct {
	ID          string
	Version     int64
	Description string
	// Category is a term of DPV, such as dpv:ServiceProvision.
	Category string
	// LegalBasis is such as eu-gdpr:A6-1-a.
	LegalBasis string
	// Data are terms, such as dpv:ProvidedPersonalData.
	Data       []string
	Recipients []string
	Retention  string
}

// Event is a change of the consent.
type Event struct {
	// Change is granted, refused, revoked, superseded, expired, or what else ends it.
	Change string
	At     time.Time
	// ByController is set if the person has not made it.
	ByController bool
	Method       string
}

// Ledger is what the ledger has of the consent.
type Ledger struct {
	// EntryID is the id of the entry; Entry the entry itself, and Proof its inclusion proof (C2SP tlog-proof), both empty until the ledger has it.
	EntryID string `json:"entry_id"`
	Status  string `json:"status"`
	Entry   []byte `json:"entry,omitempty"`
	Proof   string `json:"proof,omitempty"`
	// Text is what the entry's commitment is to, with Salt.
	Text string `json:"text,omitempty"`
	Salt []byte `json:"salt,omitempty"`
}

// The statuses of an entry.
const (
	Included = "included"
	Pending  = "pending"
)

// Input is what a receipt says.
type Input struct {
	ReceiptID, RecordID, SubjectID string
	CreatedAt                      time.Time
	Jurisdiction                   string
	// Base is the URL of this installation, under which rights are exercised; empty if it is not known.
	Base                    string
	Scope                   string
	Minor                   bool
	Guardian                string
	Controller              Party
	Authority               Party
	StorageLocations        []string
	ProcessingLocations     []string
	GeographicRestrictions  string
	PrivacyPolicy           string
	Notice                  Notice
	Purpose                 Purpose
	Method, CollectionPlace string
	ExpiresAt               time.Time
	Events                  []Event
	Ledger                  Ledger
}

// stated returns the values, or NotStated if there are none.
func stated(values ...string) []string {
	var list []string
	for _, v := range values {
		if v != "" {
			list = append(list, v)
		}
	}
	if list == nil {
		return []string{NotStated}
	}
	return list
}
