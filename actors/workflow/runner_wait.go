package workflow

import (
	"context"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
)

// makeCalls begins what is outstanding and not under way, and gives up what is under way and not outstanding any
// more. Calls without an effect are done on the spot.
func (r *runner) makeCalls(ctx context.Context) error {
	for !r.a.live.isStopping() {
		var done []machine.Outcome
		outstanding := map[string]bool{}
		for _, call := range r.x.Calls() {
			outstanding[call.ID] = true
			if r.flying[call.ID] != nil {
				continue
			}
			switch {
			case call.Fault != nil:
				done = append(done, machine.CallFault(call.ID, call.Fault, r.a.Now()))
			case call.Kind == machine.CallFunction && call.Function == functionEcho:
				r.a.metrics.steps.WithLabelValues("completed").Inc()
				done = append(done, machine.CallDone(call.ID, argumentsOf(call), r.a.Now()))
			default:
				r.fly(ctx, call)
			}
		}
		if r.x.Status() != machine.Suspended {
			for id, giveUp := range r.flying {
				if !outstanding[id] {
					giveUp()
					delete(r.flying, id)
				}
			}
		}
		if len(done) == 0 {
			return nil
		}
		if err := r.take(ctx, done...); err != nil {
			return err
		}
	}
	return nil
}

// fly makes one call in the background.
func (r *runner) fly(ctx context.Context, call *machine.Call) {
	ctx, cancel := context.WithCancel(ctx)
	r.flying[call.ID] = cancel
	go func() {
		defer cancel()
		res := r.a.perform(ctx, r.row, call)
		select {
		case r.results <- res:
		case <-ctx.Done():
		}
	}()
}

// await waits for the next thing to happen and takes it in. done: the execution is parked, or ended elsewhere.
func (r *runner) await(ctx context.Context) (done bool, err error) {
	due := r.due()
	stopping := r.a.live.stopping
	if r.a.live.isStopping() {
		stopping = nil
		if len(r.flying) == 0 {
			return false, errHandover
		}
	}
	left := due.Sub(r.a.Now())
	if len(r.flying) == 0 && (due.IsZero() || left > r.a.config.ShortWait) {
		if !r.x.Settled() { // a turn was cut at its bound, here or by a request
			return false, r.take(ctx)
		}
		return r.park(ctx, due)
	}
	var alarm <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(min(max(left, 0), longestNap))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case res := <-r.results:
		return false, r.land(ctx, res)
	case <-alarm:
		return false, r.ring(ctx)
	case <-r.poked:
		return false, r.catchUp(ctx)
	case <-stopping:
		return false, nil
	case <-ctx.Done():
		return false, errHandover
	}
}

// due is the next timer's time; zero where there is none.
func (r *runner) due() (due time.Time) {
	for _, t := range r.x.Timers() {
		if due.IsZero() || t.At.Before(due) {
			due = t.At
		}
	}
	return due
}

// land takes in what came of calls: this one's, and of all others that have ended meanwhile.
func (r *runner) land(ctx context.Context, res result) error {
	var outcomes []machine.Outcome
	abandoned := false
	for {
		if cancel := r.flying[res.id]; cancel != nil {
			cancel()
			delete(r.flying, res.id)
			if res.abandoned {
				abandoned = true
			} else {
				outcomes = append(outcomes, res.outcome)
			}
		}
		select {
		case res = <-r.results:
			continue
		default:
		}
		break
	}
	if len(outcomes) > 0 {
		if err := r.take(ctx, outcomes...); err != nil {
			return err
		}
	}
	if abandoned {
		return errHandover
	}
	return nil
}

// ring fires the timers whose time has come.
func (r *runner) ring(ctx context.Context) error {
	now := r.a.Now()
	var outcomes []machine.Outcome
	for _, t := range r.x.Timers() {
		if !t.At.After(now) {
			outcomes = append(outcomes, machine.TimerDue(t.ID, now))
		}
	}
	if len(outcomes) == 0 {
		return nil
	}
	return r.take(ctx, outcomes...)
}
