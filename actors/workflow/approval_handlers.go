package workflow

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) listApprovals(ctx context.Context, r subjects.ListApprovalsRequest) (subjects.Page[subjects.Approval], error) {
	var page subjects.Page[subjects.Approval]
	after, afterID, err := timeCursor(r.Cursor)
	if err != nil {
		return page, err
	}
	rows, err := pageOfApprovals(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after, afterID)
	if err != nil {
		return page, err
	}
	items := make([]subjects.Approval, 0, len(rows))
	for _, row := range rows {
		items = append(items, row.resource())
	}
	return actors.PageOf(items, r.PageLimit(), func(i subjects.Approval) []string { return timeKey(i.CreatedAt, i.ID) }), nil
}

func (a *Actor) getApproval(ctx context.Context, r subjects.ApprovalRequest) (subjects.Approval, error) {
	row, err := a.approvals.find(ctx, actors.CallerFrom(ctx).UserID, r.ApprovalID)
	return row.resource(), err
}

func (a *Actor) decideApproval(ctx context.Context, r subjects.DecideApprovalRequest) (subjects.Approval, error) {
	// The decision must be committed before the execution receives it. Deciding twice is harmless under any key.
	ctx = a.DB.Detached(ctx)
	row, err := a.approvals.find(ctx, actors.CallerFrom(ctx).UserID, r.ApprovalID)
	if err != nil {
		return subjects.Approval{}, err
	}
	decision := map[string]string{"approve": subjects.ApprovalApproved, "reject": subjects.ApprovalRejected}[r.Decision]
	if row, err = a.approvals.decide(ctx, row, decision, r.Comment); err != nil {
		return subjects.Approval{}, err
	}
	if row.Status != decision {
		return subjects.Approval{}, subjects.Errorf(subjects.CodeConflict, "the approval is %s", row.Status)
	}
	return row.resource(), nil
}
