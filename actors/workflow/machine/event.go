package machine

import (
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// EventVersion is the version that events are written in.
const EventVersion = 1

// EventType names what happened.
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
	// TaskRetried: a try will be tried again at Due.
	TaskRetried EventType = "task_retried"
	// ErrorCaught: a try caught an error and goes on with its catch.
	ErrorCaught EventType = "error_caught"
	// IterationStarted: a for task begins with the item at Index.
	IterationStarted EventType = "iteration_started"
	// IterationCompleted: the tasks of a listener are done for one event.
	IterationCompleted EventType = "iteration_completed"

	CallScheduled EventType = "call_scheduled"
	CallCompleted EventType = "call_completed"
	CallFailed    EventType = "call_failed"
	// CallIntended: a call that is not safe to repeat is about to be made.
	CallIntended EventType = "call_started"
	// CallAsked: nobody knows whether the call was made, and a person is asked.
	CallAsked EventType = "call_asked"

	TimerScheduled EventType = "timer_scheduled"
	TimerFired     EventType = "timer_fired"

	ListenerStarted EventType = "listener_started"
	EventReceived   EventType = "event_received"

	// CompensationStarted: the execution faulted (Error) or was cancelled, and what it did is undone before it ends.
	CompensationStarted EventType = "compensation_started"
	// TaskCompensating: the compensation of one task begins; TaskCompensated: it has ended, with Error if it failed.
	TaskCompensating EventType = "task_compensating"
	TaskCompensated  EventType = "task_compensated"
)

// Event is one fact of an execution. Events are JSON in snake_case; fields that a type does not use are absent.
type Event struct {
	Version  int       `json:"version"`
	Sequence uint64    `json:"sequence"` // from 1, without gaps
	Type     EventType `json:"type"`
	At       time.Time `json:"at"`

	// Execution and the definition's names are set on execution_started.
	Execution  string      `json:"execution,omitempty"`
	Definition *Definition `json:"definition,omitempty"`

	// Run is the task run that the event is about; 0 is the workflow itself.
	Run    int `json:"run,omitempty"`
	Parent int `json:"parent,omitempty"`
	// Slot is the position of the task in its parent's list.
	Slot int `json:"slot,omitempty"`
	// Task is the JSON pointer of the task in the definition, Key the task run's stable name: see Call.Key.
	Task string `json:"task,omitempty"`
	Name string `json:"name,omitempty"`
	Key  string `json:"key,omitempty"`
	// Attempt counts from 1, within the nearest enclosing try.
	Attempt int `json:"attempt,omitempty"`
	Index   int `json:"index,omitempty"`
	// Extension is the extension that a task run stands for: the run around the tasks before, the task, and those after.
	Extension string `json:"extension,omitempty"`

	// Input is what was handed in, Data what the input transformation made of it (absent: the same).
	Input   Value `json:"input,omitzero"`
	Data    Value `json:"data,omitzero"`
	Output  Value `json:"output,omitzero"`
	Context Value `json:"context,omitzero"`
	Items   Value `json:"items,omitzero"`

	Then  string `json:"then,omitempty"`
	Error *Error `json:"error,omitempty"`

	// Due is when a timer fires; Deadline when a task or the workflow times out; AttemptDue when an attempt does.
	Due        *time.Time `json:"due,omitempty"`
	Deadline   *time.Time `json:"deadline,omitempty"`
	AttemptDue *time.Time `json:"attempt_due,omitempty"`
	Timer      string     `json:"timer,omitempty"`

	// Message is the CloudEvent that was received, Filters which filters it satisfied.
	Message     Value          `json:"message,omitzero"`
	Filters     []int          `json:"filters,omitempty"`
	Correlation map[string]any `json:"correlation,omitempty"`
	// MessageID tells the CloudEvent from any other, by its source and id.
	MessageID string `json:"message_id,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// Definition names the version of a workflow that an execution runs.
type Definition struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	Digest    string `json:"digest"`
}

// Value is a JSON value that may be absent, which null is not.
type Value struct {
	Set bool
	V   any
}

// Of is a value that is there.
func Of(v any) Value { return Value{Set: true, V: v} }

// IsZero tells whether the value is absent.
func (v Value) IsZero() bool { return !v.Set }

// MarshalJSON writes the value; null when absent.
func (v Value) MarshalJSON() ([]byte, error) { return language.Canonical(v.V), nil }

// UnmarshalJSON reads a value with the digits of its numbers kept.
func (v *Value) UnmarshalJSON(data []byte) error {
	value, err := language.Decode(data)
	*v = Of(value)
	return err
}
