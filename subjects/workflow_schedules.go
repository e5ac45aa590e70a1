package subjects

import (
	"encoding/json"
	"time"
)

// WorkflowSchedule is the schedule of a workflow's current definition, and its state.
type WorkflowSchedule struct {
	ID         string   `json:"id"`
	WorkflowID string   `json:"workflow_id"`
	Name       string   `json:"name" doc:"The workflow's name."`
	Version    int      `json:"version" doc:"The version of the workflow that the schedule starts."`
	Kind       string   `json:"kind" enum:"cron,every,after,on" doc:"The first of kinds."`
	Kinds      []string `json:"kinds" enum:"cron,every,after,on" doc:"Everything that starts runs, as the definition declares."`
	Cron       string   `json:"cron,omitempty"`
	Seconds    float64  `json:"seconds,omitempty" doc:"Duration of every, or else of after."`
	// AfterSeconds is set if the schedule has both.
	AfterSeconds float64         `json:"after_seconds,omitempty" doc:"Duration of after beside every."`
	TimeZone     string          `json:"time_zone,omitempty" doc:"IANA time zone of cron."`
	Events       json.RawMessage `json:"events,omitempty" doc:"The events that an on schedule consumes, as in the definition."`
	Overlap      string          `json:"overlap,omitempty" enum:"skip,buffer_one,buffer_all,cancel_other,terminate_other,allow"`
	CatchUp      float64         `json:"catch_up_seconds,omitempty" doc:"Maximum delay with which a run still starts."`
	Jitter       float64         `json:"jitter_seconds,omitempty"`
	Paused       bool            `json:"paused"`
	Note         string          `json:"note,omitempty" doc:"Why it is paused."`
	// NextRuns are nominal times, without jitter.
	NextRuns  []time.Time `json:"next_runs,omitempty" doc:"The next nominal times, at most five; none while paused."`
	Waiting   int         `json:"waiting" doc:"Number of due runs that wait for another run to end."`
	Refused   string      `json:"refused,omitempty" doc:"Why the last run could not be started; absent after a successful start."`
	CreatedAt time.Time   `json:"created_at"`
	// RecentRuns is omitted from lists.
	RecentRuns []ScheduledRun `json:"recent_runs,omitempty" doc:"The latest runs by nominal time, at most twenty; omitted from lists."`
}

// ScheduledRun is the outcome of one nominal time.
type ScheduledRun struct {
	NominalTime time.Time `json:"nominal_time"`
	ExecutionID string    `json:"execution_id" doc:"Derived from schedule and nominal time; the execution exists once it has started."`
	Status      string    `json:"status" enum:"due,started,ended,skipped,missed,refused"`
	Backfill    bool      `json:"backfill,omitempty"`
	Reason      string    `json:"reason,omitempty"`
}

// ListSchedulesRequest filters the list.
type ListSchedulesRequest struct {
	PageRequest
	WorkflowID string `json:"workflow_id,omitempty" in:"query" format:"uuid"`
	Paused     *bool  `json:"paused,omitempty" in:"query"`
}

// ListSchedules lists the caller's schedules.
var ListSchedules = declare(Endpoint[ListSchedulesRequest, Page[WorkflowSchedule]]{
	Subject: "weft.v1.workflow.list_schedules", Route: "GET /v1/schedules", Access: Scope(ScopeWorkflowsRead),
	Summary: "My schedules",
	Doc:     "Lists the schedules of the caller's workflows with their next runs. A schedule is created and deleted with the definition that has it.",
})

// ScheduleRequest names a schedule.
type ScheduleRequest struct {
	ScheduleID string `json:"schedule_id" in:"path" format:"uuid"`
}

// GetSchedule returns a schedule.
var GetSchedule = declare(Endpoint[ScheduleRequest, WorkflowSchedule]{
	Subject: "weft.v1.workflow.get_schedule", Route: "GET /v1/schedules/{schedule_id}", Access: Scope(ScopeWorkflowsRead),
	Summary: "One schedule", Doc: "Returns one of the caller's schedules with its next and latest runs.",
})

// PauseScheduleRequest names a schedule and gives a reason.
type PauseScheduleRequest struct {
	ScheduleID string `json:"schedule_id" in:"path" format:"uuid"`
	Note       string `json:"note,omitempty" maxLength:"500"`
}

// PauseSchedule pauses a schedule.
var PauseSchedule = declare(Endpoint[PauseScheduleRequest, WorkflowSchedule]{
	Subject: "weft.v1.workflow.pause_schedule", Route: "POST /v1/schedules/{schedule_id}/pause",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Pause a schedule",
	Doc: "Starts no further runs until the schedule is resumed, except for backfills. Running executions continue; waiting runs are " +
		"skipped. Pausing twice changes the note.",
})

// ResumeSchedule resumes a paused schedule.
var ResumeSchedule = declare(Endpoint[ScheduleRequest, WorkflowSchedule]{
	Subject: "weft.v1.workflow.resume_schedule", Route: "POST /v1/schedules/{schedule_id}/resume",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Resume a schedule",
	Doc: "Resumes a paused schedule. Nominal times that passed meanwhile are not caught up; backfill_schedule does that. Resuming " +
		"a schedule that is not paused has no effect.",
})

// BackfillScheduleRequest names a schedule and a period of time.
type BackfillScheduleRequest struct {
	ScheduleID string    `json:"schedule_id" in:"path" format:"uuid"`
	Since      time.Time `json:"since" doc:"Nominal times from this one on."`
	Until      time.Time `json:"until" doc:"Nominal times before this one; not in the future."`
	Overlap    string    `json:"overlap,omitempty" enum:"skip,buffer_one,buffer_all,cancel_other,terminate_other,allow" doc:"Overlap policy of these runs; default buffer_all."`
}

// BackfilledSchedule is the result of BackfillSchedule.
type BackfilledSchedule struct {
	Planned int `json:"planned" doc:"Number of runs that will be started."`
	Known   int `json:"known" doc:"Number of nominal times that have had their run or still have it pending."`
}

// BackfillSchedule runs a schedule for past nominal times.
var BackfillSchedule = declare(Endpoint[BackfillScheduleRequest, BackfilledSchedule]{
	Subject: "weft.v1.workflow.backfill_schedule", Route: "POST /v1/schedules/{schedule_id}/backfill", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute,
	Summary: "Backfill a schedule",
	Doc: "Runs a schedule for the nominal times of a past period, in order, at most a thousand per call. A nominal time that has had " +
		"its run is not run again; one that was skipped, missed or refused is. conflict for schedules without nominal times: after and " +
		"on. A paused schedule can be backfilled.",
})

// RunRefusal is the data of RunRefused.
type RunRefusal struct {
	WorkflowID string `json:"workflow_id"`
	Name       string `json:"name"`
	Trigger    string `json:"trigger" enum:"schedule,event"`
	Code       Code   `json:"code"`
	Reason     string `json:"reason"`
}

// RunRefused is published when a schedule or an event fails to start a run: once, until a run can be started again. Each
// refused run is in list_failures.
var RunRefused = declareEvent(Event[RunRefusal]{
	Subject: "weft.event.v1.workflow.run_refused",
	Doc:     "A schedule or an event failed to start a run; published once until a run can be started again.",
})

// NotifyRunRefused subscribes the notification actor to schedules and triggers that can no longer start a workflow.
var NotifyRunRefused = subscribe(Subscription[RunRefusal]{Event: RunRefused, Owner: "notification"})
