package notification

import (
	"context"

	"github.com/weftmesh/weft/mesh"
)

// grantsOfItems returns the consents under which the items of a batch were sent, in its message or before it is made.
func (s store) grantsOfItems(ctx context.Context, userID, batchID string) ([]mesh.Grant, error) {
	var rows []notificationRow
	err := s.db.NewSelect().Model(&rows).Distinct().Column("grant_scope", "grant_consent").Where("grant_consent <> ''").
		Where("id IN (?)", s.itemIDs(batchID)).Scan(ctx)
	grants := make([]mesh.Grant, len(rows))
	for i, row := range rows {
		row.UserID = userID
		grants[i] = row.grant()
	}
	return grants, wrapped(err, "reading the consents of a batch's items")
}

// grantedItems returns those items of a batch that were sent under a consent, without their contents.
func (s store) grantedItems(ctx context.Context, batchID string) ([]notificationRow, error) {
	var rows []notificationRow
	err := s.db.NewSelect().Model(&rows).Column("id", "user_id", "category", "grant_scope", "grant_consent").Where("grant_consent <> ''").
		Where("id IN (?)", s.itemIDs(batchID)).Order("id").Scan(ctx)
	return rows, wrapped(err, "reading the items of a batch")
}
