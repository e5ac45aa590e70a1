package auth

import (
	"context"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
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
			return subjects.Page[subjects.AuditEvent]{}, subjects.InvalidField("cursor", "is not one that a list answered with")
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
		return []string{strconv.FormatInt(e.Time.UnixMilli(), 10), e.ID}
	}), nil
}

// auditSweep is how often old events are dropped from what users see.
const auditSweep = time.Hour

func (a *Actor) sweepAudit(ctx context.Context) error {
	tick := time.NewTicker(auditSweep)
	defer tick.Stop()
	for {
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return dropAuditEvents(ctx, tx, a.Now().Add(-a.config.AuditKept))
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
