package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/dataexport"
)

// export returns a user's sessions as holdings.Set lists them.
func (ss *sessions) export(ctx context.Context, userID string) ([]dataexport.Record, error) {
	list, err := ss.list(ctx, userID)
	records := make([]dataexport.Record, len(list))
	for i, s := range list {
		records[i] = dataexport.Record{Key: s.ID, Values: map[string]any{
			"id": s.ID, "method": s.Method, "two_factors": s.TwoFactors, "device": s.Device, "ip": s.IP, "created_at": s.CreatedAt,
			"refreshed_at": s.RefreshedAt, "expires_at": s.ExpiresAt,
		}}
	}
	return records, err
}
