package engine

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/wait"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/subjects"
)

const (
	// heartbeatInterval is the time between two heartbeats of a process, peerTimeout the silence after which its partitions are taken
	// over. They decide how soon a takeover begins; its safety rests on the fenced logs.
	heartbeatInterval = 250 * time.Millisecond
	peerTimeout       = 1200 * time.Millisecond
	// discoveryTime is how long a process that is new, or was paused, listens for heartbeats before it takes partitions: every live
	// process sends one in that time.
	discoveryTime = 400 * time.Millisecond
	// handOverTimeout bounds how long a partition is kept for its calls in flight when it is handed over.
	handOverTimeout = time.Minute
)

// ownership is the partitions that this process owns, and what it knows of the other processes.
type ownership struct {
	// process identifies this process.
	process string
	// changed is set when a heartbeat may change the assignment.
	changed wait.Signal

	mu    sync.Mutex
	owned map[int]*partition
	peers map[string]peer
	// acquiring are the partitions that this process is taking over.
	acquiring []int
	// beatAt is when it sent its last heartbeat; staleUntil is when it will have heard of every live process, after a pause.
	beatAt, staleUntil time.Time
}

// peer is the last heartbeat of another process, and when it was received.
type peer struct {
	heartbeat
	at time.Time
}

func newOwnership(process string) *ownership {
	return &ownership{process: process, changed: wait.NewSignal(), owned: map[int]*partition{}, peers: map[string]peer{}}
}

// owned are the partitions of this process, by number.
func (e *Engine) owned() []*partition {
	e.ownership.mu.Lock()
	defer e.ownership.mu.Unlock()
	list := make([]*partition, 0, len(e.ownership.owned))
	for number := range subjects.WorkflowPartitions {
		if p := e.ownership.owned[number]; p != nil {
			list = append(list, p)
		}
	}
	return list
}

// partition is a partition that this process owns; nil where it does not.
func (e *Engine) partition(number int) *partition {
	e.ownership.mu.Lock()
	defer e.ownership.mu.Unlock()
	return e.ownership.owned[number]
}

// home is the partition that new executions of this process go to: its first, so that one message has the transitions of all. -1:
// it owns none.
func (e *Engine) home() int {
	e.ownership.mu.Lock()
	defer e.ownership.mu.Unlock()
	for number := range subjects.WorkflowPartitions {
		if e.ownership.owned[number] != nil {
			return number
		}
	}
	return -1
}

// remove removes a partition that was closed.
func (e *Engine) remove(p *partition) {
	e.ownership.mu.Lock()
	defer e.ownership.mu.Unlock()
	if e.ownership.owned[p.number] == p {
		delete(e.ownership.owned, p.number)
	}
	e.metrics.partitions.Set(float64(len(e.ownership.owned)))
}

// runOwnership takes this process's share of the partitions and keeps it, until ctx ends; then it hands them over.
func (e *Engine) runOwnership(ctx context.Context) error {
	if !e.single {
		stop, err := e.bus.listen(e.onHeartbeat)
		if err != nil {
			return err
		}
		defer stop()
		e.beat()
		e.background.Go(func() { _ = wait.Every(ctx, heartbeatInterval, e.beat) })
		_ = wait.Until(ctx, nil, discoveryTime)
	}
	for ctx.Err() == nil {
		if !e.single && e.ownership.wasPaused() {
			_ = wait.Until(ctx, nil, discoveryTime) // what it knows of the others is stale
			continue
		}
		if err := e.rebalance(ctx); err != nil && ctx.Err() == nil {
			e.Log.Warn("rebalancing partitions", zap.Error(err))
		}
		_ = wait.Until(ctx, e.ownership.changed.C(), heartbeatInterval)
	}
	e.handOverAll()
	return nil
}

// assignments are the partitions of all live processes, by process, this one included.
func (e *Engine) assignments() map[string][]int {
	o := e.ownership
	shares := map[string][]int{o.process: {}}
	for _, p := range e.owned() {
		shares[o.process] = append(shares[o.process], p.number)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, p := range o.peers {
		if time.Since(p.at) > peerTimeout {
			delete(o.peers, name)
			continue
		}
		shares[name] = p.Partitions
	}
	return shares
}

// rebalance takes the unowned partitions that fall to this process, and hands one over where it has more than its share and another
// process less. Owned partitions stay where they are otherwise, because moving one pauses it.
func (e *Engine) rebalance(ctx context.Context) error {
	if e.Stopping() {
		return nil
	}
	shares := e.assignments()
	mine, give := plan(e.ownership.process, shares)
	if p := e.partition(give); p != nil {
		p.handOver()
	}
	if len(mine) == 0 {
		return nil
	}
	e.setAcquiring(mine)
	defer e.setAcquiring(nil)
	e.announce(false)
	errs := make([]error, len(mine))
	var all sync.WaitGroup
	for i, number := range mine { // one with many executions delays no other
		all.Go(func() { errs[i] = e.acquire(ctx, number) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (e *Engine) setAcquiring(numbers []int) {
	e.ownership.mu.Lock()
	defer e.ownership.mu.Unlock()
	e.ownership.acquiring = numbers
}

// plan returns which unowned partitions fall to a process, and which of its own it hands over (-1: none). Each unowned one falls to
// the process that has the fewest, so that processes with the same knowledge agree.
func plan(process string, shares map[string][]int) (take []int, give int) {
	names := slices.Sorted(maps.Keys(shares))
	count := map[string]int{}
	taken := map[int]bool{}
	for _, name := range names {
		count[name] = len(shares[name])
		for _, number := range shares[name] {
			taken[number] = true
		}
	}
	fewest := func() string {
		return slices.MinFunc(names, func(a, b string) int { return cmp.Compare(count[a], count[b]) })
	}
	for number := range subjects.WorkflowPartitions {
		if taken[number] {
			continue
		}
		name := fewest()
		count[name]++
		if name == process {
			take = append(take, number)
		}
	}
	if own := shares[process]; len(own) > 0 && count[process]-count[fewest()] > 1 {
		return take, slices.Max(own)
	}
	return take, -1
}

// acquire takes a partition over and serves it.
func (e *Engine) acquire(ctx context.Context, number int) error {
	p, err := e.takeOver(ctx, number)
	if err != nil {
		return err
	}
	e.ownership.mu.Lock()
	e.ownership.owned[number] = p
	e.metrics.partitions.Set(float64(len(e.ownership.owned)))
	e.ownership.mu.Unlock()
	p.run()
	if e.single {
		return nil
	}
	err = e.bus.serve(p.ctx, number, func(ctx context.Context, data []byte) ([]byte, error) { return receive(ctx, p, data) })
	if err != nil {
		p.close(err)
		return err
	}
	return nil
}

// handOver drains a partition, which dispatches no more calls, and releases it.
func (p *partition) handOver() {
	p.mu.Lock()
	already := p.draining
	p.draining = true
	p.mu.Unlock()
	if already || p.e.Stopping() {
		return
	}
	p.e.background.Go(func() {
		p.awaitCalls(handOverTimeout)
		p.release()
	})
}

// awaitCalls waits until no call is in flight and nothing is pending. It does not wait for repeatable calls: the start of a child may itself wait for a
// partition that is being handed over, of this process too, and nothing can be started in either meanwhile.
func (p *partition) awaitCalls(within time.Duration) {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		p.mu.Lock()
		pending, _ := p.writer.backlog()
		busy := pending > 0
		for _, h := range p.executions {
			busy = busy || h.unacked > 0 || h.deciding
			for _, call := range h.inFlight {
				busy = busy || !call.repeatable
			}
		}
		p.mu.Unlock()
		if !busy {
			return
		}
		select {
		case <-look.C:
		case <-deadline.C:
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// release projects what is left, closes the partition, and announces that.
func (p *partition) release() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), logTimeout)
	defer cancel()
	if err := p.e.flush(ctx); err != nil {
		p.e.Log.Warn("projecting before a hand-over", zap.Error(err))
	}
	p.close(nil)
	p.e.announce(p.e.Stopping())
}

// handOverAll drains and releases every partition: the process is stopping.
func (e *Engine) handOverAll() {
	var all sync.WaitGroup
	for _, p := range e.owned() {
		all.Go(func() {
			p.awaitCalls(handOverTimeout)
			p.release()
		})
	}
	all.Wait()
	e.announce(true)
}
