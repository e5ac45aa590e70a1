package engine

import (
	"context"
	"maps"
	"slices"
)

// expireApproval has the next projection close the approval request of a call that is not outstanding any more.
func (p *partition) expireApproval(h *execution, call string) {
	h.expired = append(h.expired, call)
	p.unprojected[h.row.ID] = h
	p.e.projector.wake.Notify()
}

// restoreApprovals closes the approval requests that an earlier owner left open for calls which are not outstanding any more. It records
// the others: their calls may end, by an overdue timer, before this owner has made them again.
func (p recovery) restoreApprovals(ctx context.Context) error {
	for part := range slices.Chunk(slices.Collect(maps.Keys(p.executions)), rowsPerStatement) {
		pending, err := p.e.PendingCalls(ctx, part)
		if err != nil {
			return err
		}
		for id, calls := range pending {
			for _, call := range calls {
				switch h := p.executions[id]; {
				case h.machine == nil:
				case containsCall(h.machine.Awaited(), call):
					h.addOrphanCandidate(call, "")
				default:
					p.expireApproval(h, call)
				}
			}
		}
	}
	return nil
}
