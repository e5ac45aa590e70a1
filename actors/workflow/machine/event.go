package machine

import (
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// EventVersion is the version of the event format.
const EventVersion = 1

// EventType says what happened.
type EventType string

// The types of events.
const (
	ExecutionStarted   EventType = "execution_started"
	ExecutionCompleted EventType = "execution_completed"
	ExecutionFaulted   EventType = "execution_faulted"
	ExecutionCancelled EventType = "execution_cancelled"
	ExecutionSuspended EventType = "execution_suspended"
	ExecutionResumed   EventType = "execution_resumed"

	TaskStarted   EventType = "task_started"
	TaskSkipped   EventType = "task_skipped"
	TaskCompleted EventType = "task_completed"
	TaskFaulted   EventType = "task_faulted"
	// TaskRetried: a try starts another attempt at Due.
	TaskRetried EventType = "task_retried"
	// ErrorCaught: a try caught an error and continues with its catch.
	ErrorCaught EventType = "error_caught"
	// IterationStarted: a for task, or a listener with foreach, begins the iteration Index.
	IterationStarted EventType = "iteration_started"
	// IterationCompleted: the foreach tasks of a listener have ended for one event.
	IterationCompleted EventType = "iteration_completed"

	CallScheduled EventType = "call_scheduled"
	CallCompleted EventType = "call_completed"
	CallFailed    EventType = "call_failed"
	// CallStartRecorded: a call that is not safe to repeat is about to be made.
	CallStartRecorded EventType = "call_started"
	// CallApprovalRequested: the call's result is unknown, and a person is asked whether to repeat it.
	CallApprovalRequested EventType = "call_asked"

	TimerScheduled EventType = "timer_scheduled"
	TimerFired     EventType = "timer_fired"

	ListenerStarted EventType = "listener_started"
	EventReceived   EventType = "event_received"

	// CompensationStarted: the execution faulted (Error) or was cancelled, and is compensated before it ends.
	CompensationStarted EventType = "compensation_started"
	// TaskCompensating: the compensation of one task begins. TaskCompensated: it has ended, with Error if it failed.
	TaskCompensating EventType = "task_compensating"
	TaskCompensated  EventType = "task_compensated"
)

// Event is one entry of an execution's log. Events are JSON in snake_case; fields that a type does not use are absent.
type Event struct {
	Version  int       `json:"version"`
	Sequence uint64    `json:"sequence"` // from 1, without gaps
	Type     EventType `json:"type"`
	At       time.Time `json:"at"`

	// Execution and the definition's names are set on execution_started.
	Execution  string      `json:"execution,omitempty"`
	Definition *Definition `json:"definition,omitempty"`

	// Run is the id of the task run that the event concerns; 0 is the workflow itself.
	Run    int `json:"run,omitempty"`
	Parent int `json:"parent,omitempty"`
	// Slot is the position of the task in its parent's list.
	Slot int `json:"slot,omitempty"`
	// Task is the JSON pointer of the task in the definition; Key is the stable name of the task run, see Call.Key.
	Task string `json:"task,omitempty"`
	Name string `json:"name,omitempty"`
	Key  string `json:"key,omitempty"`
	// Attempt counts from 1, within the nearest enclosing try.
	Attempt int `json:"attempt,omitempty"`
	Index   int `json:"index,omitempty"`
	// Extension is the name of the extension whose run this is: the run around the tasks before, the extended task and
	// the tasks after.
	Extension string `json:"extension,omitempty"`

	// Input is the raw input, Data the input after input.from (absent if they are the same).
	Input   Value `json:"input,omitzero"`
	Data    Value `json:"data,omitzero"`
	Output  Value `json:"output,omitzero"`
	Context Value `json:"context,omitzero"`
	Items   Value `json:"items,omitzero"`

	Then  string `json:"then,omitempty"`
	Error *Error `json:"error,omitempty"`

	// Due is when a timer fires, Deadline when a task or the workflow times out, AttemptDue when an attempt does.
	Due        *time.Time `json:"due,omitempty"`
	Deadline   *time.Time `json:"deadline,omitempty"`
	AttemptDue *time.Time `json:"attempt_due,omitempty"`
	Timer      string     `json:"timer,omitempty"`

	// Message is the CloudEvent that was consumed, Filters the indices of the filters it matched.
	Message     Value            `json:"message,omitzero"`
	Filters     []int            `json:"filters,omitempty"`
	Correlation CorrelatedValues `json:"correlation,omitempty"`
	// MessageID identifies the CloudEvent by its source and id.
	MessageID string `json:"message_id,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// Size is the size of a call's data, where it is large, in bytes: it counts towards MaxOpenCalls.
	Size int `json:"size,omitempty"`
	// Steps is what the evaluations since the last event took, in thousands: it counts towards MaxLifeSteps.
	Steps int `json:"steps,omitempty"`
	// Interrupted are the calls that this event ends before they have a result and that may have had their effect.
	Interrupted []InterruptedCall `json:"interrupted,omitempty"`
}

// Definition identifies the version of a workflow that an execution runs.
type Definition struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	Digest    string `json:"digest"`
}

// CorrelatedValues are the values by name that the events of a listener share.
type CorrelatedValues map[string]any

// UnmarshalJSON decodes the values and keeps all digits of their numbers.
func (c *CorrelatedValues) UnmarshalJSON(data []byte) error {
	value, err := language.Decode(data)
	*c, _ = value.(map[string]any)
	return err
}

// Value is a JSON value that may be absent; absent differs from null.
type Value struct {
	Set bool
	V   any
}

// ValueOf is a value that is present.
func ValueOf(v any) Value { return Value{Set: true, V: v} }

// IsZero reports whether the value is absent.
func (v Value) IsZero() bool { return !v.Set }

// MarshalJSON encodes the value; null when absent.
func (v Value) MarshalJSON() ([]byte, error) { return language.Canonical(v.V), nil }

// UnmarshalJSON decodes a value and keeps all digits of its numbers.
func (v *Value) UnmarshalJSON(data []byte) error {
	value, err := language.Decode(data)
	*v = ValueOf(value)
	return err
}
