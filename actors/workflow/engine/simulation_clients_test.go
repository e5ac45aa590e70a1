package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// client is one user of the simulated processes.
type client struct {
	w    *world
	r    *rand.Rand
	user string
	// executions are those that the user has tried to start.
	executions []string
	starts     int
	// stopped: the user was terminated.
	stopped bool
}

// run makes requests until the schedule's active time is over.
func (c *client) run(until time.Time) {
	names := startable()
	for time.Now().Before(until) {
		time.Sleep(time.Duration(c.r.IntN(250)) * time.Millisecond)
		live := c.w.live()
		if len(live) == 0 {
			continue
		}
		p := live[c.r.IntN(len(live))]
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+c.r.IntN(9))*time.Second)
		c.act(ctx, p, names)
		cancel()
		if c.stopped {
			return
		}
	}
}

func startable() (names []string) {
	for name, workflow := range simulated {
		if !workflow.child {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (c *client) act(ctx context.Context, p *process, names []string) {
	choice := c.r.IntN(100)
	if len(c.executions) == 0 || choice < 50 {
		c.start(ctx, p, names[c.r.IntN(len(names))])
		return
	}
	from := 0
	if c.r.IntN(2) == 0 {
		from = max(0, len(c.executions)-3)
	}
	id := c.executions[from+c.r.IntN(len(c.executions)-from)]
	switch {
	case choice < 62:
		c.deliver(ctx, p)
	case choice < 70:
		c.control(ctx, p, id)
	case choice < 78:
		c.look(ctx, p, id)
	case choice < 84:
		c.decide(ctx, p)
	case choice < 88:
		c.retry(ctx, p, id)
	case choice < 91:
		c.result("flush", id, p.engine.FlushAll(ctx))
	case choice < 93:
		c.result("truncate", id, p.engine.TruncateLogs(ctx))
	case choice < 96:
		p.engine.AwaitEnd(ctx, id)
	case choice < 98:
		c.pauseSchedule(ctx, p)
	case c.w.profile.TerminateUser && c.user == "u0" && len(c.executions) > 3:
		c.terminate(ctx, p)
	}
}

func (c *client) result(what, id string, err error) {
	c.w.tracef("%s: %s %s: %v", c.user, what, id, err)
}

// other is a process that takes requests, or p.
func (c *client) other(p *process) *process {
	if live := c.w.live(); len(live) > 0 {
		return live[c.r.IntN(len(live))]
	}
	return p
}

// start starts an execution: under a new id once, or under a chosen one until that is acknowledged.
func (c *client) start(ctx context.Context, p *process, name string) {
	c.starts++
	o := order{userID: c.user, workflow: name, input: fmt.Sprintf(`{"k":"%c","p":%d}`, 'a'+rune(c.r.IntN(2)), c.r.IntN(3))}
	var ended chan Result
	if c.r.IntN(2) == 0 {
		ended = make(chan Result, 2)
	}
	if c.r.IntN(3) == 0 {
		row, started, err := p.begin(ctx, o, ended)
		c.executions = append(c.executions, row.ID)
		c.result("start "+name, row.ID, err)
		if started {
			c.await(row.ID, ended)
		}
		return
	}
	o.id = DerivedID(fmt.Sprintf("%d/%s/%d", c.w.seed, c.user, c.starts))
	if c.w.profile.Schedule && c.r.IntN(2) == 0 {
		o.schedule = "s"
	}
	c.executions = append(c.executions, o.id)
	for range 3 {
		row, started, err := p.begin(ctx, o, ended)
		c.result("start "+name, row.ID, err)
		if err == nil {
			if started {
				c.await(row.ID, ended)
			}
			return
		}
		live := c.w.live()
		if ctx.Err() != nil || len(live) == 0 || o.schedule != "" {
			return
		}
		p, ended = live[c.r.IntN(len(live))], nil
		time.Sleep(time.Duration(c.r.IntN(100)) * time.Millisecond)
	}
}

// await checks the result that the starter of an execution gets.
func (c *client) await(id string, ended chan Result) {
	if ended == nil {
		return
	}
	go func() {
		select {
		case end := <-ended:
			if end.Err != nil || end.Row.ID == "" {
				return
			}
			e := c.w.ledger.execution(id)
			if e == nil || e.end == nil || !machine.Status(end.Row.Status).Ended() {
				c.w.violatef("the starter of %s gets its end, which is not in the log", id)
				return
			}
			c.w.ledger.observe(id, int64(len(e.events)))
			if count := 0; end.Complete {
				for _, events := range end.Transitions {
					count += len(events)
				}
				if count != len(e.events) {
					c.w.violatef("the starter of %s gets %d events, the log has %d", id, count, len(e.events))
				}
			}
		case <-time.After(time.Minute):
		}
	}()
}

// deliver sends an event and checks that every execution which listened before has received it.
func (c *client) deliver(ctx context.Context, p *process) {
	id := fmt.Sprintf("e%d", c.r.Uint32())
	l := c.w.ledger
	var listening []*loggedExecution
	l.mu.Lock()
	for _, e := range l.executions {
		if e.row.UserID == c.user && e.row.Name == "listen" && len(e.listens) > 0 && e.end == nil {
			listening = append(listening, e)
		}
	}
	l.mu.Unlock()
	event := map[string]any{"specversion": "1.0", "type": "ping", "source": "s", "id": id}
	if c.r.IntN(3) == 0 {
		other := c.other(p)
		go func() { _, _ = other.engine.Deliver(ctx, c.user, event) }()
		time.Sleep(time.Duration(c.r.IntN(8)) * time.Millisecond)
	}
	delivered, err := p.engine.Deliver(ctx, c.user, event)
	c.result(fmt.Sprintf("deliver to %d of %d", delivered, len(listening)), id, err)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range listening {
		if len(e.received) == 0 && e.end == nil {
			c.w.violatef("event %s was delivered, and execution %s has not received it", id, e.row.ID)
		}
	}
}

// control cancels, suspends or resumes an execution.
func (c *client) control(ctx context.Context, p *process, id string) {
	row, err := p.engine.Current(ctx, id)
	if err != nil {
		c.result("current", id, err)
		return
	}
	l := c.w.ledger
	var reply ControlReply
	mark := func(suspended bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.suspended, id)
		if suspended {
			l.suspended[id] = true
		}
	}
	switch c.r.IntN(5) {
	case 0, 1:
		if c.r.IntN(3) == 0 {
			other := c.other(p)
			go func() { _, _ = other.engine.Cancel(ctx, row, "simulated") }()
			time.Sleep(time.Duration(c.r.IntN(8)) * time.Millisecond)
		}
		reply, err = p.engine.Cancel(ctx, row, "simulated")
		if c.result("cancel "+string(reply.Status), id, err); err == nil && reply.Status.Ended() {
			l.mu.Lock()
			if l.cancelled[id] = true; l.executions[id].end == nil {
				c.w.violatef("the cancellation of %s is acknowledged and not in the log", id)
			}
			l.mu.Unlock()
			l.observe(id, l.count(id))
		}
	case 2, 3:
		reply, err = p.engine.Suspend(ctx, row, "simulated")
		if c.result("suspend "+string(reply.Status), id, err); err == nil && reply.Status == machine.Suspended {
			mark(true)
		}
	case 4:
		mark(false)
		reply, err = p.engine.Resume(ctx, row)
		c.result("resume "+string(reply.Status), id, err)
	}
}

// look reads an execution and checks that it is not older than what was read or acknowledged before.
func (c *client) look(ctx context.Context, p *process, id string) {
	l := c.w.ledger
	l.mu.Lock()
	_, acknowledged := l.acknowledged[id]
	before := l.observed[id]
	l.mu.Unlock()
	row, err := p.engine.Current(ctx, id)
	c.result("look "+row.Status, id, err)
	switch {
	case IsNotFound(err) && acknowledged && l.execution(id).partition == PartitionOf(id):
		c.w.violatef("execution %s was started and is not found", id)
	case err == nil && row.Events < before:
		c.w.violatef("execution %s is read with %d events as %s; %d were read before", id, row.Events, row.Status, before)
	case err == nil:
		l.observe(id, row.Events)
	}
}

// decide answers an open approval request.
func (c *client) decide(ctx context.Context, p *process) {
	open := c.w.store.openApprovals()
	if len(open) == 0 {
		return
	}
	one := open[c.r.IntN(len(open))]
	answer := []byte(`{"decision":"approved"}`)
	if c.r.IntN(3) == 0 {
		other := c.other(p)
		go func() { _ = other.engine.CompleteCall(ctx, one[0], one[1], answer, nil) }()
		time.Sleep(time.Duration(c.r.IntN(8)) * time.Millisecond)
	}
	err := p.engine.CompleteCall(ctx, one[0], one[1], answer, nil)
	if err == nil && !c.w.ledger.isOver(one[0], one[1]) {
		c.w.violatef("the completion of call %s of %s is acknowledged and not in the log", one[1], one[0])
	}
	if c.result("decide", one[0], err); err == nil || IsNotFound(err) {
		c.w.store.closeApprovals(one[0], one[1])
	}
}

// retry continues from the history of an execution that has ended.
func (c *client) retry(ctx context.Context, p *process, id string) {
	row, err := p.engine.Current(ctx, id)
	if err != nil || !row.Ended() || row.Events == 0 {
		return
	}
	attempt := row
	attempt.Origin = Origin{Kind: OriginRetry, ID: id}
	if _, _, err := p.engine.RetryFrom(ctx, attempt); err != nil {
		return
	}
	started, _, err := p.begin(ctx, order{userID: c.user, workflow: row.WorkflowID, input: string(row.Input), origin: Origin{Kind: OriginRetry, ID: id}}, nil)
	c.executions = append(c.executions, started.ID)
	c.result("retry", started.ID, err)
}

// pauseSchedule pauses the schedule and returns once its starts are drained.
func (c *client) pauseSchedule(ctx context.Context, p *process) {
	c.w.mu.Lock()
	c.w.paused["s"] = true
	c.w.mu.Unlock()
	err := p.engine.DrainStarts(ctx)
	if c.result("pause", "s", err); err == nil {
		c.w.ledger.mu.Lock()
		c.w.ledger.drained["s"] = true
		c.w.ledger.mu.Unlock()
	}
}

// terminate ends all executions of the user, who starts no more.
func (c *client) terminate(ctx context.Context, p *process) {
	c.stopped = true
	l := c.w.ledger
	l.mu.Lock()
	var before []*loggedExecution
	for _, e := range l.executions {
		if e.row.UserID == c.user && e.row.ParentID == "" {
			before = append(before, e)
		}
	}
	l.mu.Unlock()
	err := p.engine.TerminateUser(ctx, c.user)
	if c.result("terminate", c.user, err); err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range before {
		if e.end == nil {
			c.w.violatef("user %s was terminated, and execution %s (%s) has not ended", c.user, e.row.ID, e.row.Name)
		}
	}
}
