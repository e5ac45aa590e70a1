package subjects

import (
	"encoding/json"
	"time"
)

// RetryExecutionRequest names an execution that has ended, and where to begin again.
type RetryExecutionRequest struct {
	ExecutionID string `json:"execution_id" in:"path" format:"uuid"`
	FromTask    string `json:"from_task,omitempty" maxLength:"150" doc:"The task to begin with again, by its name or its JSON pointer: its last run counts. Unless given, the task whose error ended the execution."`
	Restart     bool   `json:"restart,omitempty" doc:"Keep nothing and begin from the beginning, with the same input."`
	Version     int    `json:"version,omitempty" minimum:"1" doc:"The workflow's version to go on with: the current one unless given."`
	NewID       string `json:"new_execution_id,omitempty" format:"uuid" doc:"The new execution's id to be, chosen by the caller: a second retry with it answers with the first."`
}

// RetryExecution goes on with what an execution had done.
var RetryExecution = declare(Endpoint[RetryExecutionRequest, Execution]{
	Subject: "weft.v1.workflow.retry_execution", Route: "POST /v1/executions/{execution_id}/retry", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute, Location: "/v1/executions/{id}",
	Summary: "Try an execution again",
	Doc: "Starts a new execution that keeps what an ended one had done before a task, and goes on with that task; what it keeps is in " +
		"its history, and is not done again. It runs the workflow's current version, so that a fault of the definition can be " +
		"mended first: the tasks that are kept must be there under their names. conflict for one that has not ended; invalid for a " +
		"task that never ran, and where nothing can be kept because the execution was compensated: restart does without.",
})

// The statuses of a failure.
const (
	FailureOpen      = "open"
	FailureReplayed  = "replayed"
	FailureDismissed = "dismissed"
)

// Failure is an execution that ended with an error, or that could not be started.
type Failure struct {
	ID         string            `json:"id" doc:"The execution's; of one that was not started, the id that it would have had."`
	WorkflowID string            `json:"workflow_id"`
	Version    int               `json:"version"`
	Name       string            `json:"name" doc:"The workflow's."`
	Kind       string            `json:"kind" enum:"execution,start" doc:"start: it could not be started."`
	Trigger    string            `json:"trigger,omitempty" doc:"What started it, or was to: such as schedule, event, workflow, retry; absent for a request."`
	Status     string            `json:"status" enum:"open,replayed,dismissed"`
	Error      *ExecutionProblem `json:"error"`
	Input      json.RawMessage   `json:"input,omitempty" doc:"Of one that was not started."`
	At         time.Time         `json:"at" doc:"When it was created."`
	ReplayedAs string            `json:"replayed_as,omitempty" doc:"The execution that it was replayed as."`
}

// FailureFilter narrows failures.
type FailureFilter struct {
	WorkflowID string     `json:"workflow_id,omitempty" in:"query" format:"uuid"`
	ErrorType  string     `json:"error_type,omitempty" in:"query" maxLength:"300" doc:"The error's type, whole or, for the specification's own, by its last part: timeout, communication, …"`
	Since      *time.Time `json:"since,omitempty" in:"query" doc:"Created at or after."`
	Until      *time.Time `json:"until,omitempty" in:"query" doc:"Created before."`
}

// ListFailuresRequest narrows the list.
type ListFailuresRequest struct {
	PageRequest
	FailureFilter
	Status string `json:"status,omitempty" in:"query" enum:"open,replayed,dismissed" doc:"open unless given."`
}

// ListFailures lists what ended with an error.
var ListFailures = declare(Endpoint[ListFailuresRequest, Page[Failure]]{
	Subject: "weft.v1.workflow.list_failures", Route: "GET /v1/workflows/failures", Access: Scope(ScopeWorkflowsRead),
	Summary: "What failed",
	Doc:     "Lists the caller's executions that ended with an error, and those that a schedule or an event could not start, newest first.",
})

// ReplayFailureRequest names a failure.
type ReplayFailureRequest struct {
	FailureID string `json:"failure_id" in:"path" format:"uuid"`
	FromTask  string `json:"from_task,omitempty" maxLength:"150" doc:"As in retry_execution."`
	Restart   bool   `json:"restart,omitempty" doc:"As in retry_execution."`
}

// ReplayFailure tries a failure again.
var ReplayFailure = declare(Endpoint[ReplayFailureRequest, Execution]{
	Subject: "weft.v1.workflow.replay_failure", Route: "POST /v1/workflows/failures/{failure_id}/replay", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute, Location: "/v1/executions/{id}",
	Summary: "Replay a failure",
	Doc: "Retries the execution from the task that failed (see retry_execution), or starts the one that could not be started. A " +
		"failure is replayed once: again, this answers with the execution that it was replayed as.",
})

// ReplayFailuresRequest says which failures to try again.
type ReplayFailuresRequest struct {
	WorkflowID string     `json:"workflow_id,omitempty" format:"uuid"`
	ErrorType  string     `json:"error_type,omitempty" maxLength:"300" doc:"As in list_failures."`
	Since      *time.Time `json:"since,omitempty" doc:"Created at or after."`
	Until      *time.Time `json:"until,omitempty" doc:"Created before."`
	Restart    bool       `json:"restart,omitempty" doc:"As in retry_execution."`
	Limit      int        `json:"limit,omitempty" minimum:"1" maximum:"200" doc:"At most so many, the oldest first: 50 unless given."`
}

// ReplayedFailures tells what became of failures that were to be replayed.
type ReplayedFailures struct {
	Replayed map[string]string `json:"replayed" doc:"The new executions by failure."`
	Refused  map[string]string `json:"refused" doc:"Why others could not be replayed, by failure; they stay open."`
	More     bool              `json:"more" doc:"There are more failures that the filter wants."`
}

// ReplayFailures tries failures again.
var ReplayFailures = declare(Endpoint[ReplayFailuresRequest, ReplayedFailures]{
	Subject: "weft.v1.workflow.replay_failures", Route: "POST /v1/workflows/failures/replay",
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute, Timeout: time.Minute,
	Summary: "Replay failures",
	Doc:     "Replays the open failures that a filter wants, the oldest first, as replay_failure does one.",
})

// FailureRequest names a failure.
type FailureRequest struct {
	FailureID string `json:"failure_id" in:"path" format:"uuid"`
}

// DismissFailure takes a failure off the list.
var DismissFailure = declare(Endpoint[FailureRequest, Empty]{
	Subject: "weft.v1.workflow.dismiss_failure", Route: "POST /v1/workflows/failures/{failure_id}/dismiss",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Dismiss a failure",
	Doc:     "Takes a failure off the list of open ones. It stays among the dismissed, and its execution is what it is. conflict for one that was replayed.",
})
