package engine

import (
	"context"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
)

// withdraw closes the question of a call that was given up while it was being asked.
func (e *Engine) withdraw(ctx context.Context, executionID, callID string) {
	err := e.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		return e.WithdrawApprovals(ctx, tx, executionID, []string{callID})
	})
	if err != nil && ctx.Err() == nil {
		e.Log.Warn("withdrawing an approval", zap.String("execution_id", executionID), zap.Error(err))
	}
}

// restoreQuestions looks for questions that those before have not withdrawn: of calls that are not waited for any more.
func (p *partition) restoreApprovals(ctx context.Context) error {
	ids := slices.Collect(maps.Keys(p.executions))
	for len(ids) > 0 {
		part := ids[:min(len(ids), rowsPerStatement)]
		ids = ids[len(part):]
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
