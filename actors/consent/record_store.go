package consent

import (
	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// recordColumns are the columns of a subjects.ConsentRecord. Times are microseconds since the Unix epoch, 0 for none.
type recordColumns struct {
	PurposeID      string `bun:"purpose_id" json:"purpose_id"`
	PurposeVersion int64  `bun:"purpose_version" json:"purpose_version"`
	LegalBasis     string `bun:"legal_basis" json:"legal_basis"`

	NoticeID       string `bun:"notice_id" json:"notice_id"`
	NoticeVersion  string `bun:"notice_version" json:"notice_version"`
	NoticeHash     string `bun:"notice_hash" json:"notice_hash"`
	NoticeLanguage string `bun:"notice_language" json:"notice_language"`
	NoticeServedAt int64  `bun:"notice_served_at" json:"notice_served_at"`

	Method          string `bun:"method" json:"method"`
	UIContext       string `bun:"ui_context" json:"ui_context"`
	CollectionPlace string `bun:"collection_place" json:"collection_place"`

	ActedBy    string `bun:"acted_by" json:"acted_by"`
	ActedVia   string `bun:"acted_via" json:"acted_via"`
	ActedViaID string `bun:"acted_via_id" json:"acted_via_id"`

	AgeClass         string `bun:"age_class" json:"age_class"`
	AgeThreshold     int    `bun:"age_threshold" json:"age_threshold"`
	GuardianName     string `bun:"guardian_name" json:"guardian_name"`
	GuardianMethod   string `bun:"guardian_method" json:"guardian_method"`
	GuardianEvidence string `bun:"guardian_evidence" json:"guardian_evidence"`

	GPCConflict bool `bun:"gpc_conflict" json:"gpc_conflict"`
}

// personalColumns are the columns of consents that an erasure empties: what a person has written, or identifies one.
var personalColumns = []string{
	"purpose", "revoke_reason", "ui_context", "collection_place", "acted_via_id", "guardian_name", "guardian_method", "guardian_evidence",
}

// resource returns the record as its owner sees it.
func (r recordColumns) resource() subjects.ConsentRecord {
	record := subjects.ConsentRecord{
		PurposeID: r.PurposeID, PurposeVersion: r.PurposeVersion, LegalBasis: r.LegalBasis,
		NoticeID: r.NoticeID, NoticeVersion: r.NoticeVersion, NoticeHash: r.NoticeHash, NoticeLanguage: r.NoticeLanguage,
		NoticeServedAt: actors.OptionalTime(r.NoticeServedAt), Method: r.Method, UIContext: r.UIContext, CollectionPlace: r.CollectionPlace,
		ActedBy: r.ActedBy, ActedVia: r.ActedVia, ActedViaID: r.ActedViaID,
		AgeClass: r.AgeClass, AgeThreshold: r.AgeThreshold, GPCConflict: r.GPCConflict,
	}
	if r.GuardianName != "" {
		record.Guardian = &subjects.Guardian{Name: r.GuardianName, Method: r.GuardianMethod, Evidence: r.GuardianEvidence}
	}
	return record
}
