package consent

import (
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func (c consentRow) statusAt(now time.Time) string {
	status := statusAt(c.Status, time.UnixMicro(c.ExpiresAt), now)
	switch {
	case status != subjects.ConsentActive:
		return status
	case c.SuppressedAt != 0:
		return subjects.ConsentGPC
	case c.RenewalAt != 0:
		return subjects.ConsentRenewalRequired
	}
	return status
}

// resource returns the consent as its owner sees it.
func (c consentRow) resource(now time.Time) subjects.Consent {
	return subjects.Consent{
		ID: c.ID, Scope: c.Scope, Purpose: c.Purpose, Jurisdiction: c.Jurisdiction,
		Status: c.statusAt(now), GrantedAt: time.UnixMicro(c.GrantedAt).UTC(), ExpiresAt: time.UnixMicro(c.ExpiresAt).UTC(),
		RevokedAt: actors.OptionalTime(c.RevokedAt), RevokeReason: c.RevokeReason, SupersededBy: c.SupersededBy,
		RenewalNotice: c.RenewalNotice, RenewalAt: actors.OptionalTime(c.RenewalAt), SuppressedAt: actors.OptionalTime(c.SuppressedAt),
		ConsentRecord: c.recordColumns.resource(),
	}
}

// state returns the state of an active consent that guards read.
func (c consentRow) state() subjects.ConsentState {
	expiresAt := time.UnixMicro(c.ExpiresAt).UTC()
	state := subjects.ConsentState{
		ConsentID: c.ID, Version: c.Version, Continues: c.Continues, Status: subjects.ConsentActive, ExpiresAt: &expiresAt,
	}
	switch {
	case c.SuppressedAt != 0:
		state.Status = subjects.ConsentGPC
	case c.RenewalAt != 0:
		state.Status = subjects.ConsentRenewalRequired
	}
	return state
}

// resource returns the change as the consent's owner sees it.
func (e entryRow) resource() subjects.ConsentEntry {
	return subjects.ConsentEntry{
		ID: e.ID, ConsentID: e.ConsentID, Change: e.Change, At: time.UnixMicro(e.At).UTC(), Reason: e.Reason,
	}
}
