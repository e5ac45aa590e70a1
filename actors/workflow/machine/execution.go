package machine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Environment is what an execution sees beside its data. It is not part of the log.
type Environment struct {
	// Secrets gives the values of $secrets by name: those of the names in use.secrets that there are. It is asked whenever
	// a call takes secrets, so that what has changed meanwhile counts, and must not take long. The execution takes the values
	// over.
	Secrets func() (map[string]any, error)
	// Runtime is $runtime: name, version, metadata.
	Runtime map[string]any
}

// Execution is one execution. It is not safe for concurrent use.
type Execution struct {
	def   *language.Workflow
	state State
	turn  []Event

	secrets  secretReader
	eval     evaluator
	calls    callBuilder
	consumer eventConsumer
	decider  decider
	reducer  reducer
}

func newExecution(def *language.Workflow, env Environment) *Execution {
	x := &Execution{def: def, secrets: secretReader{read: env.Secrets, declared: len(def.Use.Secrets) > 0}}
	x.eval = evaluator{def: def, state: &x.state, secrets: &x.secrets, runtime: env.Runtime}
	x.calls = callBuilder{def: def, state: &x.state, eval: &x.eval, secrets: &x.secrets}
	x.consumer = eventConsumer{def: def, state: &x.state, eval: &x.eval, matcher: eventMatcher{def}}
	x.decider = decider{def: def, state: &x.state, eval: &x.eval, calls: &x.calls, consumer: &x.consumer}
	x.reducer = reducer{def: def, state: &x.state}
	return x
}

var zeroTime time.Time

// Start begins an execution. id is its identity for good: keys and jitter come of it. The events of the first turn
// are returned; the caller appends them before it acts on the effects. input is a JSON value of maps, lists and
// scalars, which the execution takes over.
func Start(def *language.Workflow, id string, input any, now time.Time, env Environment) (*Execution, []Event) {
	x := newExecution(def, env)
	input = language.Normalize(input)
	started := Event{Type: ExecutionStarted, Execution: id, Input: Of(input), Definition: &Definition{
		Namespace: def.Document.Namespace, Name: def.Document.Name, Version: def.Document.Version, Digest: def.Digest}}
	// $workflow is needed before the event that makes it is there.
	x.state = State{Execution: id, Input: Of(input), StartedAt: now}
	data, err := x.eval.workflowInput(input, now)
	if err != nil {
		started.Error = x.eval.problem(err, "/input")
	} else if def.Input != nil && def.Input.From != nil {
		started.Data = Of(data)
	}
	if err == nil {
		if started.Deadline, err = x.eval.deadline(data, now); err != nil {
			started.Error = x.eval.problem(err, "/timeout")
		}
	}
	x.state = State{}
	x.turn = make([]Event, 0, 8) // room for what follows at once from a first call without an effect
	x.emit(started, now)
	x.decide(now)
	return x, x.take()
}

// Restore folds a log into an execution. It decides nothing; Continue does.
func Restore(def *language.Workflow, env Environment, events []Event) (*Execution, error) {
	x := newExecution(def, env)
	for _, event := range events {
		if err := x.Apply(event); err != nil {
			return nil, fmt.Errorf("restoring an execution: %w", err)
		}
	}
	return x, nil
}

// RestoreSnapshot takes up an execution from what Snapshot wrote; events after it are applied with Apply.
func RestoreSnapshot(def *language.Workflow, env Environment, snapshot []byte) (*Execution, error) {
	decoder := json.NewDecoder(bytes.NewReader(snapshot))
	decoder.UseNumber()
	x := newExecution(def, env)
	if err := decoder.Decode(&x.state); err != nil {
		return nil, fmt.Errorf("restoring a snapshot: %w", err)
	}
	for _, run := range x.state.Runs {
		run.Input, run.Data, run.Result = language.Normalize(run.Input), language.Normalize(run.Data), language.Normalize(run.Result)
		language.Normalize(run.Items)
		language.Normalize(run.Messages)
		language.Normalize(run.Outputs)
		language.Normalize(run.Results)
		language.Normalize(run.Correlation)
	}
	for i := range x.state.Undo {
		undo := &x.state.Undo[i]
		undo.Input, undo.Output = language.Normalize(undo.Input), language.Normalize(undo.Output)
	}
	return x, nil
}

// Snapshot writes the execution's state as JSON.
func (x *Execution) Snapshot() ([]byte, error) {
	data, err := json.Marshal(&x.state)
	if err != nil {
		return nil, fmt.Errorf("writing a snapshot: %w", err)
	}
	return data, nil
}

// Continue decides what is left to decide: after Restore of a log that was cut, or when Settled is false. It returns
// no events when there is nothing.
func (x *Execution) Continue(now time.Time) []Event {
	x.decide(now)
	return x.take()
}

// Settled tells whether everything is decided, as it is after each turn of less than MaxTurn events.
func (x *Execution) Settled() bool {
	_, more := x.decider.next(x.state.StartedAt)
	return !more
}

// Output is the output of a completed execution; null for any other.
func (x *Execution) Output() any { return x.state.Output.V }

// Fault is the error of a faulted execution; nil for any other.
func (x *Execution) Fault() *Error { return x.state.Error }

// StartedAt is when the execution was started.
func (x *Execution) StartedAt() time.Time { return x.state.StartedAt }

// EndedAt is when the execution ended; zero while it goes on.
func (x *Execution) EndedAt() time.Time { return x.state.EndedAt }

// Status is the execution's status; Waiting when it runs and nothing but timers, events and external calls can move it.
func (x *Execution) Status() Status {
	s := &x.state
	if s.Status == "" {
		return Pending
	}
	if s.Status != Running {
		return s.Status
	}
	waits := false
	for _, run := range s.Runs {
		switch run.Phase {
		case PhaseCalling:
			if !x.calls.external(run) {
				return Running
			}
			waits = true
		case PhaseWaiting, PhaseListening, PhaseRetrying:
			waits = true
		}
	}
	if waits {
		return Waiting
	}
	return Running
}

// emit numbers an event, applies it, and notes it for the turn.
func (x *Execution) emit(event Event, now time.Time) {
	event.Version, event.Sequence, event.At = EventVersion, x.state.Sequence+1, now
	if x.turn == nil {
		x.turn = make([]Event, 0, 4) // as many as a step from one call to the next has
	}
	if err := x.reducer.apply(&event); err != nil {
		panic("machine: " + err.Error()) // decided events apply: anything else is a fault of this package
	}
	x.turn = append(x.turn, event)
}

func (x *Execution) take() []Event {
	turn := x.turn
	x.turn = nil
	return turn
}

// Apply folds one event into the execution. Events come in sequence; one that was applied already is an error, and
// so is one of a newer version.
func (x *Execution) Apply(event Event) error { return x.reducer.apply(&event) }

// decide emits until there is nothing to decide, or the turn is full.
func (x *Execution) decide(now time.Time) {
	for len(x.turn) < MaxTurn {
		event, ok := x.decider.next(now)
		if !ok {
			return
		}
		x.emit(event, now)
	}
}
