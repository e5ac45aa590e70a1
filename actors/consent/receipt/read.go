package receipt

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Facts are what a receipt says that the ledger records too.
type Facts struct {
	RecordID, Scope string
	At              time.Time
	ExpiresAt       time.Time
	Ledger          Ledger
}

// typed is a typed literal of JSON-LD.
type typed struct {
	Value json.RawMessage `json:"@value"`
}

// receiptFacts are the parts of a receipt from which Read takes Facts.
type receiptFacts struct {
	Provenance struct {
		Value typed `json:"rdf:value"`
	} `json:"dct:provenance"`
	Record struct {
		ID      string `json:"dct:identifier"`
		Process struct {
			Service struct {
				Title string `json:"dct:title"`
			} `json:"dpv:hasService"`
		} `json:"dpv:hasProcess"`
		Statuses []struct {
			At       typed `json:"dpv:isIndicatedAtTime"`
			Duration struct {
				Value typed `json:"rdf:value"`
			} `json:"dpv:hasDuration"`
		} `json:"dpv:hasConsentStatus"`
	} `json:"dpv:hasRecordOfActivity"`
}

// Read returns what a receipt says.
func Read(document []byte) (Facts, error) {
	var r receiptFacts
	if err := json.Unmarshal(document, &r); err != nil {
		return Facts{}, fmt.Errorf("reading a receipt: %w", err)
	}
	if len(r.Record.Statuses) == 0 {
		return Facts{}, errors.New("the receipt has no event")
	}
	f := Facts{RecordID: r.Record.ID, Scope: r.Record.Process.Service.Title}
	first := r.Record.Statuses[0]
	for raw, into := range map[*typed]any{&r.Provenance.Value: &f.Ledger, &first.At: &f.At, &first.Duration.Value: &f.ExpiresAt} {
		if err := json.Unmarshal(raw.Value, into); err != nil {
			return Facts{}, fmt.Errorf("reading a receipt: %w", err)
		}
	}
	return f, nil
}

// recorded are the parts of the ledger's record that a receipt repeats. Times are microseconds since the Unix epoch.
type recorded struct {
	ConsentID string `json:"consent_id"`
	Scope     string `json:"scope"`
	GrantedAt int64  `json:"granted_at"`
	ExpiresAt int64  `json:"expires_at"`
}

// MatchRecord reports whether the record that the ledger commits to says what the receipt says.
func (f Facts) MatchRecord() error {
	var r recorded
	if err := json.Unmarshal([]byte(f.Ledger.Text), &r); err != nil {
		return fmt.Errorf("reading the record: %w", err)
	}
	seconds := func(micros int64) int64 { return time.UnixMicro(micros).Unix() }
	switch {
	case r.ConsentID != f.RecordID:
		return fmt.Errorf("the ledger's record is about the consent %q, not %q", r.ConsentID, f.RecordID)
	case r.Scope != f.Scope:
		return fmt.Errorf("the ledger's record is about the scope %q, not %q", r.Scope, f.Scope)
	case seconds(r.GrantedAt) != f.At.Unix() || seconds(r.ExpiresAt) != f.ExpiresAt.Unix():
		return errors.New("the ledger's record has other times")
	}
	return nil
}
