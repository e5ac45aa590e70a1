package engine

import (
	"fmt"
	"sync"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// heldBytes counts what the large executions in memory hold, by user. Small ones are bounded by their number.
type heldBytes struct {
	perUser, total int

	mu     sync.Mutex
	sum    int
	byUser map[string]int
}

// change adds to what a user's executions hold. It reports whether that is too much: more than a user may hold, or, where all hold more
// than the process may, at least as much as the average user.
func (b *heldBytes) change(userID string, by int) (tooMuch bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byUser == nil {
		b.byUser = map[string]int{}
	}
	b.sum += by
	b.byUser[userID] += by
	held := b.byUser[userID]
	if held == 0 {
		delete(b.byUser, userID)
		return false
	}
	return held > b.perUser || b.sum > b.total && held >= b.sum/len(b.byUser)
}

// bytes is what all executions hold.
func (b *heldBytes) bytes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum
}

// hold records what an execution holds; 0 where it leaves the memory. An execution that grows past its user's bound ends with a fault.
func (p *partition) hold(h *execution, size int) {
	by := size - h.held
	h.held = size
	if by == 0 {
		return
	}
	if p.e.held.change(h.row.UserID, by) && by > 0 {
		p.end(h, machine.NewError(machine.TypeRuntime, fmt.Sprintf(
			"the data of your running executions exceeds %d bytes (workflow.max_bytes_per_user)", p.e.Config.MaxBytesPerUser)))
	}
}
