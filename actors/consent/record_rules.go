package consent

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// recordOf returns what is recorded of a request besides the consent itself, and the jurisdiction.
func (a *Actor) recordOf(ctx context.Context, r subjects.GrantConsentRequest) (recordColumns, string, error) {
	p, known := a.purposes.of(r.Scope)
	if !known {
		return recordColumns{}, "", subjects.InvalidField("scope", "is not one of list_scopes")
	}
	record := recordColumns{
		PurposeID: p.ID, PurposeVersion: p.Version, NoticeVersion: r.NoticeVersion, Method: subjects.MethodUnproven,
		UIContext: r.UIContext, CollectionPlace: r.CollectionPlace,
	}
	record.ActedVia, record.ActedViaID = actedVia(actors.CallerFrom(ctx))
	place := canonicalPlace(r.Jurisdiction)
	if r.NoticeToken != "" {
		claims, err := a.claimsOf(ctx, r, p)
		if err != nil {
			return recordColumns{}, "", err
		}
		place = cmp.Or(place, claims.Jurisdiction)
		record.NoticeID, record.NoticeVersion, record.NoticeHash = claims.NoticeID, strconv.FormatInt(claims.Version, 10), claims.Hash
		record.NoticeLanguage, record.NoticeServedAt = claims.Language, time.Unix(claims.IssuedAt, 0).UnixMicro()
		record.Method, record.GPCConflict = cmp.Or(r.Method, subjects.MethodServedNotice), claims.GPC
	} else if r.Method != "" {
		return recordColumns{}, "", subjects.InvalidField("method", "goes with notice_token: without one nothing proves it")
	}
	record.LegalBasis = p.basisIn(place)
	return record, place, a.config.addAge(&record, r, place)
}

// claimsOf verifies the notice token of a request: that it was served to this caller, or anonymously, for the current version of the purpose.
func (a *Actor) claimsOf(ctx context.Context, r subjects.GrantConsentRequest, p purpose) (noticeClaims, error) {
	const field = "notice_token"
	claims, err := a.signer.verify(ctx, r.NoticeToken)
	switch {
	case errors.Is(err, errNoticeToken):
		return claims, subjects.InvalidField(field, "is invalid or has expired: serve the notice again")
	case err != nil:
		return claims, err
	case claims.Subject != "" && claims.Subject != actors.CallerFrom(ctx).UserID:
		return claims, subjects.InvalidField(field, "was served to another user")
	case claims.Scope != p.Scope || claims.PurposeID != p.ID:
		return claims, subjects.InvalidField(field, "is for the scope %s", claims.Scope)
	case claims.PurposeVersion != p.Version:
		return claims, subjects.InvalidField(field, "is for an earlier version of the purpose: serve the notice again")
	case r.NoticeVersion != "" && r.NoticeVersion != strconv.FormatInt(claims.Version, 10):
		return claims, subjects.InvalidField("notice_version", "is not that of the notice token, which is %d", claims.Version)
	case r.Jurisdiction != "" && claims.Jurisdiction != "" && canonicalPlace(r.Jurisdiction) != claims.Jurisdiction:
		return claims, subjects.InvalidField("jurisdiction", "is not that of the notice token, which is %s", claims.Jurisdiction)
	}
	return claims, nil
}

// checkNotice refuses a record whose notice a material change has replaced since it was served.
func (a *Actor) checkNotice(ctx context.Context, c consentRow) error {
	if c.NoticeID == "" {
		return nil
	}
	latest, known, err := a.store.materialChange(ctx, c.Scope)
	if err == nil && known && latest.NoticeID == c.NoticeID && latest.outdates(c) {
		return subjects.InvalidField("notice_token", "is of a notice that has changed since: serve it again")
	}
	return err
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
