package subjects

import (
	"encoding/json"
	"time"
)

// WorkflowSchedule is when a workflow is started by itself: the schedule of its current definition, and how it goes.
type WorkflowSchedule struct {
	ID         string          `json:"id"`
	WorkflowID string          `json:"workflow_id"`
	Name       string          `json:"name" doc:"The workflow's."`
	Version    int             `json:"version" doc:"The version of the workflow that runs are started with."`
	Kind       string          `json:"kind" enum:"cron,every,after,on"`
	Cron       string          `json:"cron,omitempty"`
	Seconds    float64         `json:"seconds,omitempty" doc:"The time of every and after."`
	TimeZone   string          `json:"time_zone,omitempty" doc:"The IANA zone that cron is read in."`
	Events     json.RawMessage `json:"events,omitempty" doc:"What an on schedule consumes, as the definition has it."`
	Overlap    string          `json:"overlap,omitempty" enum:"skip,buffer_one,buffer_all,cancel_other,terminate_other,allow"`
	CatchUp    float64         `json:"catch_up_seconds,omitempty" doc:"How late a run may still start."`
	Jitter     float64         `json:"jitter_seconds,omitempty"`
	Paused     bool            `json:"paused"`
	Note       string          `json:"note,omitempty" doc:"Why it is paused."`
	// NextRuns are nominal times; jitter comes on top.
	NextRuns  []time.Time `json:"next_runs,omitempty" doc:"The next nominal times, at most five; none while it is paused."`
	Waiting   int         `json:"waiting" doc:"How many runs are due and wait for another one to end."`
	Refused   string      `json:"refused,omitempty" doc:"Why the last run could not be started; absent once one could."`
	CreatedAt time.Time   `json:"created_at"`
	// RecentRuns are left out of lists.
	RecentRuns []ScheduledRun `json:"recent_runs,omitempty" doc:"The newest runs by nominal time, at most twenty; left out of lists."`
}

// ScheduledRun is what became of one nominal time.
type ScheduledRun struct {
	NominalTime time.Time `json:"nominal_time"`
	ExecutionID string    `json:"execution_id" doc:"Derived from schedule and nominal time; there is such an execution once it has started."`
	Status      string    `json:"status" enum:"due,started,ended,skipped,missed,refused"`
	Backfill    bool      `json:"backfill,omitempty"`
	Reason      string    `json:"reason,omitempty"`
}

// ListSchedulesRequest narrows the list.
type ListSchedulesRequest struct {
	PageRequest
	WorkflowID string `json:"workflow_id,omitempty" in:"query" format:"uuid"`
	Paused     *bool  `json:"paused,omitempty" in:"query"`
}

// ListSchedules lists the caller's schedules.
var ListSchedules = declare(Endpoint[ListSchedulesRequest, Page[WorkflowSchedule]]{
	Subject: "weft.v1.workflow.list_schedules", Route: "GET /v1/schedules", Access: Scope(ScopeWorkflowsRead),
	Summary: "My schedules",
	Doc:     "Lists the schedules of the caller's workflows with their next runs. A schedule stands in a workflow's definition; it comes and goes with it.",
})

// ScheduleRequest names a schedule.
type ScheduleRequest struct {
	ScheduleID string `json:"schedule_id" in:"path" format:"uuid"`
}

// GetSchedule answers with a schedule.
var GetSchedule = declare(Endpoint[ScheduleRequest, WorkflowSchedule]{
	Subject: "weft.v1.workflow.get_schedule", Route: "GET /v1/schedules/{schedule_id}", Access: Scope(ScopeWorkflowsRead),
	Summary: "One schedule", Doc: "Answers with one of the caller's schedules, its next and its newest runs.",
})

// PauseScheduleRequest names a schedule and says why.
type PauseScheduleRequest struct {
	ScheduleID string `json:"schedule_id" in:"path" format:"uuid"`
	Note       string `json:"note,omitempty" maxLength:"500"`
}

// PauseSchedule halts a schedule.
var PauseSchedule = declare(Endpoint[PauseScheduleRequest, WorkflowSchedule]{
	Subject: "weft.v1.workflow.pause_schedule", Route: "POST /v1/schedules/{schedule_id}/pause",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Pause a schedule",
	Doc: "Starts no further run until the schedule is resumed, but for backfills. Runs that go on go on; those that wait are " +
		"left out. Pausing twice changes the note.",
})

// ResumeSchedule lets a paused schedule go on.
var ResumeSchedule = declare(Endpoint[ScheduleRequest, WorkflowSchedule]{
	Subject: "weft.v1.workflow.resume_schedule", Route: "POST /v1/schedules/{schedule_id}/resume",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Resume a schedule",
	Doc: "Lets a paused schedule go on from now. The nominal times that passed meanwhile are not made up for: backfill_schedule " +
		"does that. Resuming one that is not paused is harmless.",
})

// BackfillScheduleRequest names a schedule and a stretch of time.
type BackfillScheduleRequest struct {
	ScheduleID string    `json:"schedule_id" in:"path" format:"uuid"`
	Since      time.Time `json:"since" doc:"The first nominal time at the earliest."`
	Until      time.Time `json:"until" doc:"Nominal times before this one; not in the future."`
	Overlap    string    `json:"overlap,omitempty" enum:"skip,buffer_one,buffer_all,cancel_other,terminate_other,allow" doc:"For these runs: buffer_all unless given."`
}

// BackfilledSchedule tells what a backfill will run.
type BackfilledSchedule struct {
	Planned int `json:"planned" doc:"Runs that will be started."`
	Known   int `json:"known" doc:"Nominal times that have had their run, or have it still before them."`
}

// BackfillSchedule runs what was missed.
var BackfillSchedule = declare(Endpoint[BackfillScheduleRequest, BackfilledSchedule]{
	Subject: "weft.v1.workflow.backfill_schedule", Route: "POST /v1/schedules/{schedule_id}/backfill", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute,
	Summary: "Run what was missed",
	Doc: "Runs a schedule for the nominal times of a stretch of the past, in their order, at most a thousand at once. A nominal " +
		"time that has had its run does not get another; one that was skipped, missed or refused does. conflict for a schedule " +
		"that names no times: after and on. A paused schedule can be backfilled.",
})

// RunRefusal is what RunRefused tells.
type RunRefusal struct {
	WorkflowID string `json:"workflow_id"`
	Name       string `json:"name"`
	Trigger    string `json:"trigger" enum:"schedule,event"`
	Code       Code   `json:"code"`
	Reason     string `json:"reason"`
}

// RunRefused tells that a run that a schedule or an event was to start could not be started. It is told once, until
// one can be started again; each refused run is in list_failures.
var RunRefused = declareEvent(Event[RunRefusal]{
	Subject: "weft.event.v1.workflow.run_refused",
	Doc:     "A run that a schedule or an event was to start could not be started; told once until one can.",
})

// TellOfRefusedRun has the notification actor tell users whose schedule or trigger can no longer start a workflow.
var TellOfRefusedRun = subscribe(Subscription[RunRefusal]{Event: RunRefused, Owner: "notification"})
