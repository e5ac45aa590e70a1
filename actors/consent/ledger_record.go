package consent

import (
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/subjects"
)

// saltBytes is the length of the salt of a commitment.
const saltBytes = 16

// record is what the ledger commits to of a consent and one of its changes.
type record struct {
	EntryID       string `json:"entry_id"`
	ConsentID     string `json:"consent_id"`
	Scope         string `json:"scope"`
	Version       int64  `json:"version"`
	Purpose       string `json:"purpose"`
	Jurisdiction  string `json:"jurisdiction"`
	Status        string `json:"status"`
	GrantedAt     int64  `json:"granted_at"`
	ExpiresAt     int64  `json:"expires_at"`
	RevokedAt     int64  `json:"revoked_at"`
	RevokeReason  string `json:"revoke_reason"`
	SupersededBy  string `json:"superseded_by"`
	Change        string `json:"change"`
	At            int64  `json:"at"`
	Reason        string `json:"reason"`
	RenewalNotice string `json:"renewal_notice"`
	RenewalAt     int64  `json:"renewal_at"`
	SuppressedAt  int64  `json:"suppressed_at"`
	recordColumns
}

// recordText is the text of a consent after a change: the same when the change is recorded and ever after. What is recorded when a consent is
// given never changes; after it a consent ends once, and before that needs a renewal once and is suppressed once. The text of one of these
// changes has what that change has set, and that of the end has everything.
func recordText(c consentRow, e entryRow) ([]byte, error) {
	r := record{
		EntryID: e.ID, ConsentID: c.ID, Scope: c.Scope, Version: c.Version, Purpose: c.Purpose,
		Jurisdiction: c.Jurisdiction, Status: c.Status, GrantedAt: c.GrantedAt, ExpiresAt: c.ExpiresAt, RevokedAt: c.RevokedAt,
		RevokeReason: c.RevokeReason, SupersededBy: c.SupersededBy, Change: e.Change, At: e.At, Reason: e.Reason,
		recordColumns: c.recordColumns,
	}
	switch e.Change {
	case changeGranted, subjects.ConsentRenewalRequired, subjects.ConsentGPC:
		r.Status, r.RevokedAt, r.RevokeReason, r.SupersededBy = subjects.ConsentActive, 0, "", ""
	}
	if e.Change != changeGranted && e.Change != subjects.ConsentGPC {
		r.RenewalNotice, r.RenewalAt = c.RenewalNotice, c.RenewalAt
	}
	if e.Change != changeGranted && e.Change != subjects.ConsentRenewalRequired {
		r.SuppressedAt = c.SuppressedAt
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	return text, nil
}
