package engine

import (
	"context"
	"maps"
	"slices"

	"go.uber.org/zap"
)

// withdraw closes the approval request of a call that was abandoned while it was being made.
func (e *Engine) withdraw(ctx context.Context, executionID, callID string) {
	err := e.store.withdrawApprovals(ctx, executionID, []string{callID})
	if err != nil && ctx.Err() == nil {
		e.Log.Warn("withdrawing an approval", zap.String("execution_id", executionID), zap.Error(err))
	}
}

// expireApproval has the next projection close the approval request of a call that is not outstanding any more.
func (p *partition) expireApproval(h *execution, call string) {
	h.expired = append(h.expired, call)
	p.unprojected[h.row.ID] = h
	p.e.projector.wake.Notify()
}

// restoreApprovals closes the approval requests that an earlier owner left open for calls which are not outstanding any more.
func (p *partition) restoreApprovals(ctx context.Context) error {
	for part := range slices.Chunk(slices.Collect(maps.Keys(p.executions)), rowsPerStatement) {
		pending, err := p.e.PendingCalls(ctx, part)
		if err != nil {
			return err
		}
		for id, calls := range pending {
			for _, call := range calls {
				if h := p.executions[id]; h.machine != nil && !containsCall(h.machine.Awaited(), call) {
					p.expireApproval(h, call)
				}
			}
		}
	}
	return nil
}
