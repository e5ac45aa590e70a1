package auth

import (
	"context"
	"strconv"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) listAuditEvents(ctx context.Context, req subjects.ListAuditEventsRequest) (subjects.Page[subjects.AuditEvent], error) {
	from, err := actors.DecodeCursor(req.Cursor, 2)
	if err != nil {
		return subjects.Page[subjects.AuditEvent]{}, err
	}
	var at int64
	if from[1] != "" {
		if at, err = strconv.ParseInt(from[0], 10, 64); err != nil {
			return subjects.Page[subjects.AuditEvent]{}, subjects.InvalidField("cursor", "invalid cursor")
		}
	}
	rows, err := auditEvents(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, at, from[1], req.PageLimit()+1)
	if err != nil {
		return subjects.Page[subjects.AuditEvent]{}, err
	}
	events := make([]subjects.AuditEvent, 0, len(rows))
	for _, row := range rows {
		events = append(events, row.event())
	}
	return actors.PageOf(events, req.PageLimit(), func(e subjects.AuditEvent) []string {
		return []string{strconv.FormatInt(e.Time.UnixMicro(), 10), e.ID}
	}), nil
}
