package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/weftmesh/weft/actors/database"
)

// expireApproval has the next projection close the approval request of a call that is not outstanding any more.
func (p *partition) expireApproval(h *execution, call string) {
	h.expired = append(h.expired, call)
	p.unprojected[h.row.ID] = h
	p.e.projector.wake.Notify()
}

type ownerKey struct{}

// ownerOf is the owner of the partition whose call has ctx.
func ownerOf(ctx context.Context) string {
	owner, _ := ctx.Value(ownerKey{}).(string)
	return owner
}

// HoldPartition returns an error where the partition, for which a call with ctx is made, has another owner by now. Otherwise none takes it
// over before the end of the transaction: a request that a paused process makes afterwards would stay open, because the next owner has
// closed those that it found.
func HoldPartition(ctx context.Context, tx database.Tx, number int) error {
	held, err := holdPartition(ctx, tx, number, ownerOf(ctx))
	if err == nil && !held {
		err = errPartitionMoving
	}
	return err
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
