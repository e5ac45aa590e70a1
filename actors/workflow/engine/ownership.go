package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

const (
	// beatEvery is how often a process tells the others that it lives, deadAfter for how long it may not before its
	// partitions are taken. Nothing rests on either but how fast that is: owners are fenced by their logs.
	heartbeatInterval = 250 * time.Millisecond
	peerTimeout       = 1200 * time.Millisecond
	// hearWithin is how long a process that is new, or that stood still, listens for the others before it takes partitions:
	// whoever lives is heard in that time.
	discoveryTime = 400 * time.Millisecond
	// handoverWithin bounds how long a partition is kept for the calls under way when it is to change hands.
	handOverTimeout = time.Minute
)

// pulse is what a process tells the others.
type heartbeat struct {
	Process    string `json:"process"`
	Partitions []int  `json:"lots"`
	// Leaving: it stops, and takes no share any more.
	Leaving bool `json:"leaving,omitempty"`
}

// owners are the partitions that this process owns, and what it hears of the other processes.
type ownership struct {
	// process is this one's name among its peers.
	process string
	// changed tells that something was heard that may change the shares.
	changed chan struct{}

	mu    sync.Mutex
	owned map[int]*partition
	peers map[string]peer
}

// peer is another process, as it was last heard at a time of this one's clock.
type peer struct {
	heartbeat
	at time.Time
}

func newOwnership(process string) *ownership {
	return &ownership{process: process, changed: make(chan struct{}, 1), owned: map[int]*partition{}, peers: map[string]peer{}}
}

// owned are the partitions of this process, in order.
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

// partition is one that this process owns, or nil.
func (e *Engine) partition(number int) *partition {
	e.ownership.mu.Lock()
	defer e.ownership.mu.Unlock()
	return e.ownership.owned[number]
}

// home is the partition that new executions of this process go to: its first, so that one message takes the turns of all.
// -1: it owns none.
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

// disown forgets a partition that was lost.
func (e *Engine) remove(p *partition) {
	e.ownership.mu.Lock()
	defer e.ownership.mu.Unlock()
	if e.ownership.owned[p.number] == p {
		delete(e.ownership.owned, p.number)
	}
	e.metrics.partitions.Set(float64(len(e.ownership.owned)))
}

// runOwners takes this process's share of the partitions and keeps it, until ctx ends; then it hands them over.
func (e *Engine) runOwnership(ctx context.Context) error {
	if !e.Alone() {
		sub, err := e.Conn.Subscribe(subjects.WorkflowPeers, e.onHeartbeat)
		if err != nil {
			return fmt.Errorf("listening for the other processes: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		e.announce(false)
		sleepUntil(ctx, discoveryTime, nil)
	}
	for last := time.Now(); ctx.Err() == nil; last = time.Now() {
		if !e.Alone() && time.Since(last) > peerTimeout/2 {
			sleepUntil(ctx, discoveryTime, nil) // this process stood still: what it knows of the others is old
		}
		if err := e.rebalance(ctx); err != nil && ctx.Err() == nil {
			e.Log.Warn("sharing partitions", zap.Error(err))
		}
		e.announce(false)
		sleepUntil(ctx, heartbeatInterval, e.ownership.changed)
	}
	e.handOverAll()
	return nil
}

// wait returns after a time, with a word on early, or with ctx.
func sleepUntil(ctx context.Context, d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
}

// alone tells that no other process can run: SQLite's file has one.
func (e *Engine) Alone() bool { return e.DB.Dialect() == database.DialectSQLite }

// tell tells the other processes that this one lives, and what it owns.
func (e *Engine) announce(leaving bool) {
	if e.Alone() {
		return
	}
	p := heartbeat{Process: e.ownership.process, Leaving: leaving}
	for _, one := range e.owned() {
		p.Partitions = append(p.Partitions, one.number)
	}
	data, err := json.Marshal(p)
	if err == nil {
		err = e.Conn.Publish(subjects.WorkflowPeers, data)
	}
	if err != nil {
		e.Log.Warn("telling the other processes of this one", zap.Error(err))
	}
}

// hear takes in what another process tells. One that is new is answered at once, so that it knows of this one.
func (e *Engine) onHeartbeat(m *nats.Msg) {
	var p heartbeat
	if json.Unmarshal(m.Data, &p) != nil || p.Process == "" || p.Process == e.ownership.process {
		return
	}
	o := e.ownership
	o.mu.Lock()
	before, known := o.peers[p.Process]
	if p.Leaving {
		delete(o.peers, p.Process)
	} else {
		o.peers[p.Process] = peer{heartbeat: p, at: time.Now()}
	}
	o.mu.Unlock()
	if !known && !p.Leaving {
		e.announce(e.Stopping())
	}
	for _, number := range p.Partitions {
		if own := e.partition(number); own != nil {
			e.background.Go(func() { _ = own.verifyOwnership(own.ctx) })
		}
	}
	if !known || p.Leaving || !slices.Equal(before.Partitions, p.Partitions) {
		select {
		case o.changed <- struct{}{}:
		default:
		}
	}
}

// shares are the partitions of the processes that are heard, by process, this one's among them.
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

// share takes of the partitions that nobody has those that fall to this process, and gives up one where it has more than
// its share and another has less. What is owned stays where it is otherwise: a partition that changes hands stands still
// for a moment.
func (e *Engine) rebalance(ctx context.Context) error {
	if e.Stopping() {
		return nil
	}
	shares := e.assignments()
	mine, give := plan(e.ownership.process, shares)
	var errs []error
	for _, number := range mine {
		errs = append(errs, e.acquire(ctx, number))
	}
	if p := e.partition(give); p != nil {
		p.handOver()
	}
	return errors.Join(errs...)
}

// plan tells which free partitions fall to a process, and which of its own it gives up, -1: none. Each free one falls to
// the process that has the fewest, so that all who know the same of each other agree.
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

// take takes a partition.
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
	if e.Alone() {
		return nil
	}
	if err := e.listen(p); err != nil {
		p.close(err)
		return err
	}
	return nil
}

// handOver gives a partition up once its calls under way have ended: it begins no more.
func (p *partition) handOver() {
	p.mu.Lock()
	begun := p.draining
	p.draining = true
	p.mu.Unlock()
	if begun || p.e.Stopping() {
		return
	}
	p.e.background.Go(func() {
		p.awaitCalls(handOverTimeout)
		p.release()
	})
}

// settleCalls waits until no call is under way.
func (p *partition) awaitCalls(within time.Duration) {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		p.mu.Lock()
		busy := len(p.pending) > 0
		for _, h := range p.executions {
			busy = busy || len(h.inFlight) > 0 || h.unacked > 0
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

// release folds what is left, gives the partition up, and says so.
func (p *partition) release() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), logTimeout)
	defer cancel()
	if err := p.e.flush(ctx); err != nil {
		p.e.Log.Warn("folding what is handed over", zap.Error(err))
	}
	p.close(nil)
	p.e.announce(p.e.Stopping())
}

// handAllOver ends what is under way and gives every partition up: the process stops.
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
