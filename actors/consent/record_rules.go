package consent

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// recordOf returns what is recorded of a request, besides the consent itself.
func (a *Actor) recordOf(ctx context.Context, r subjects.GrantConsentRequest) (recordColumns, error) {
	p, known := a.purposes.of(r.Scope)
	if !known {
		return recordColumns{}, subjects.InvalidField("scope", "is not one of list_scopes")
	}
	record := recordColumns{
		PurposeID: p.ID, PurposeVersion: p.Version, LegalBasis: p.basisIn(canonicalPlace(r.Jurisdiction)), NoticeVersion: r.NoticeVersion,
		Method: subjects.MethodUnproven, UIContext: r.UIContext, CollectionPlace: r.CollectionPlace,
		ActedBy: subjects.ActedByUser, AgeClass: subjects.AgeUnknown,
	}
	record.ActedVia, record.ActedViaID = actedVia(actors.CallerFrom(ctx))
	return record, nil
}

// actedVia returns what a caller acts through, and its id.
func actedVia(c actors.Caller) (via, id string) {
	switch {
	case c.KeyID != "":
		return subjects.ActedViaAPIKey, c.KeyID
	case c.SessionID != "":
		return subjects.ActedViaSession, c.SessionID
	case c.Claims.ClientID != "":
		return subjects.ActedViaOAuthClient, c.Claims.ClientID
	}
	return "", ""
}
