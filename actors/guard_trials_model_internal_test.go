package actors

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
)

// trialState is the state of one scope: the consents under which something may start, from the first of a chain of renewals to the last. Between
// the call of a revocation and its return a start may be made or refused.
type trialState struct {
	first, last int
	revoking    bool
}

// trialModel is that of one scope and process. A start is made at one moment, at which it is permitted, or refused at some moment of its call at
// which it is not.
var trialModel = porcupine.Model{
	Init: func() any { return trialState{} },
	Step: func(state, input, output any) (bool, any) {
		now, call := state.(trialState), input.(trialCall) //nolint:forcetypeassert // the trial's own
		switch call.kind {
		case callGrant:
			if now.first == 0 {
				now.first = call.consent
			}
			now.last = call.consent
			return true, now
		case callRevoking:
			now.revoking = true
			return true, now
		case callRevoke:
			return true, trialState{}
		}
		permitted := now.first > 0 && (call.consent == 0 || now.first <= call.consent && call.consent <= now.last)
		return permitted == output || permitted && now.revoking, state
	},
}

// check returns what is wrong with a trial: a history of a process and a scope that is not linearizable, a late start, or a revocation that took
// longer than the lease.
func (w *trialWorld) check() string {
	type part struct{ process, scope string }
	parts := map[part][]porcupine.Operation{}
	var changes []porcupine.Operation
	for _, o := range w.history {
		if c := o.Input.(trialCall); c.process == "" { //nolint:forcetypeassert // the trial's own
			changes = append(changes, o)
		} else {
			parts[part{c.process, c.scope}] = append(parts[part{c.process, c.scope}], o)
		}
	}
	for p, history := range parts {
		for _, o := range changes {
			if o.Input.(trialCall).scope == p.scope { //nolint:forcetypeassert // the trial's own
				history = append(history, o)
			}
		}
		for i := range history {
			history[i].ClientId = i
		}
		if !porcupine.CheckOperations(trialModel, history) {
			return fmt.Sprintf("the history of process %s and scope %s is not linearizable (%d late starts):\n%s", p.process, p.scope, w.late.Load(), describe(history))
		}
	}
	if n := w.late.Load(); n > 0 {
		return fmt.Sprintf("%d starts after a revocation had returned", n)
	}
	if w.slowest > mesh.LeaseLength+500*time.Millisecond {
		return fmt.Sprintf("a revocation took %s", w.slowest)
	}
	return ""
}

// describe lists a history in the order in which its operations returned.
func describe(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	var text strings.Builder
	for _, o := range history {
		fmt.Fprintf(&text, "  [%d, %d] %+v %v\n", o.Call, o.Return, o.Input, o.Output)
	}
	return text.String()
}

// errTrialStart is the error of a start that a trial lets fail.
var errTrialStart = errors.New("the start failed")

// errTrialCut is the error of a process that cannot reach the server.
var errTrialCut = fmt.Errorf("%w: cut off", kv.ErrUnavailable)
