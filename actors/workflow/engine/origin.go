package engine

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

// Origin is what started an execution; the zero Origin is a request.
type Origin struct {
	Kind OriginKind `bun:"kind" json:"kind,omitempty"`
	// ID is the schedule's or the other execution's, by Kind.
	ID string `bun:"id" json:"id,omitempty"`
	// Depth counts the executions before this one of which each has started the next, by whatever means.
	Depth int `bun:"depth" json:"depth,omitempty"`
	// Root is the first of them, and Ancestors are all, Root first, separated by spaces; empty for one that no execution has led to.
	Root      string `bun:"root" json:"root,omitempty"`
	Ancestors string `bun:"ancestors" json:"ancestors,omitempty"`
	// Task is where a retry begins; empty: where the execution before had failed.
	Task string `bun:"task" json:"task,omitempty"`
}

// MaxDepth bounds Origin.Depth, so that a cycle of executions that start one another ends.
const MaxDepth = 20

// CauseOf is the origin, yet without kind and id, of what a call of an execution starts. The error is a fault where too many executions
// have started one another. A compensation's start is not a descendant: it undoes, also after a cancellation.
func CauseOf(row Row, call *machine.Call) (Origin, error) {
	cause := Origin{Depth: row.Origin.Depth + 1, Root: cmp.Or(row.Origin.Root, row.ID), Ancestors: strings.TrimSpace(row.Origin.Ancestors + " " + row.ID)}
	if cause.Depth > MaxDepth {
		return Origin{}, machine.NewError(machine.TypeRuntime, fmt.Sprintf("executions have started one another, more than %d in a row", MaxDepth))
	}
	if call.Compensation {
		cause.Root, cause.Ancestors = "", ""
	}
	return cause, nil
}

// As is the origin with a kind and an id.
func (o Origin) As(kind OriginKind, id string) Origin {
	o.Kind, o.ID = kind, id
	return o
}

// OriginKind is a kind of origin.
type OriginKind string

// The kinds of origins.
const (
	// OriginSchedule: a schedule's time had come. OriginEvent: an event matched the schedule.
	OriginSchedule OriginKind = "schedule"
	OriginEvent    OriginKind = "event"
	// OriginWorkflow: an execution started it, as a child or on its own.
	OriginWorkflow OriginKind = "workflow"
	// OriginRetry continues from the history of another execution, OriginRestart repeats it from the start.
	OriginRetry   OriginKind = "retry"
	OriginRestart OriginKind = "restart"
	// OriginWait: a request that waits for the end. It counts as a request everywhere else.
	OriginWait OriginKind = "wait"
)

// Trigger is the kind as users see it; empty for a request.
func (o Origin) Trigger() string {
	if o.Kind == OriginWait {
		return ""
	}
	return string(o.Kind)
}

// String is the origin as events tell it: kind:id, or empty for a request.
func (o Origin) String() string {
	if o.Trigger() == "" {
		return ""
	}
	return o.Trigger() + ":" + o.ID
}

// unattendedFailure is the event of an execution that has failed while neither the request nor the execution that started it waited for its
// end; nil for any other.
func (e Row) unattendedFailure(now time.Time) any {
	if machine.Status(e.Status) != machine.Faulted || e.ParentID != "" || e.Origin.Kind == OriginWait {
		return nil
	}
	return subjects.ExecutionsFailed.New(e.ID, e.UserID, now, subjects.ExecutionFailures{Executions: []subjects.ExecutionFailure{{
		ExecutionID: e.PublicID(), WorkflowID: e.WorkflowID, Version: e.Version, Name: e.Name, Origin: e.Origin.String(), ErrorType: e.ErrorType,
		EndedAt: machine.Moment(e.EndedAt),
	}}})
}
