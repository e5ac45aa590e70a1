package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/subjects"
)

// flows is what stands above the engine and starts executions by itself: schedules and events.
type flows struct {
	// schedulesChanged tells the loop of schedules to look again.
	schedulesChanged chan struct{}

	scheduled *prometheus.CounterVec
	events    *prometheus.CounterVec
	approvals *prometheus.CounterVec
	failures  *prometheus.CounterVec
}

func newFlows(r prometheus.Registerer) *flows {
	f := &flows{
		schedulesChanged: make(chan struct{}, 1),
		scheduled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_scheduled_runs_total", Help: "Runs of schedules by what became of them: started, skipped, missed, refused.",
		}, []string{"result"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_events_total", Help: "Events that were looked at for workflows to start, by origin: published, webhook, emitted.",
		}, []string{"origin"}),
	}
	f.approvals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "workflow_approvals_total", Help: "Approvals by what became of them: asked, approved, rejected, expired.",
	}, []string{"result"})
	f.failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "workflow_failures_settled_total", Help: "Failures by what became of them: replayed, dismissed.",
	}, []string{"result"})
	r.MustRegister(f.scheduled, f.events, f.approvals, f.failures)
	return f
}

// flowBindings are the endpoints of what stands above the engine.
func (a *Actor) flowBindings() []actors.Binding {
	return []actors.Binding{
		actors.Bind(subjects.ListSchedules, a.listSchedules),
		actors.Bind(subjects.GetSchedule, a.getSchedule),
		actors.Bind(subjects.PauseSchedule, a.pauseSchedule),
		actors.Bind(subjects.ResumeSchedule, a.resumeSchedule),
		actors.Bind(subjects.BackfillSchedule, a.backfillSchedule),
		actors.Bind(subjects.PublishEvent, a.publishEvent),
		actors.Bind(subjects.ListApprovals, a.listApprovals),
		actors.Bind(subjects.GetApproval, a.getApproval),
		actors.Bind(subjects.DecideApproval, a.decideApproval),
		actors.Bind(subjects.ListFunctions, a.listFunctions),
		actors.Bind(subjects.ListFailures, a.listFailures),
		actors.Bind(subjects.ReplayFailure, a.replayFailure),
		actors.Bind(subjects.ReplayFailures, a.replayFailures),
		actors.Bind(subjects.DismissFailure, a.dismissFailure),
		actors.Bind(subjects.RetryExecution, a.retry),
	}
}

// startExecution starts an execution whose id says that it is the same however often it is started.
func (a *Actor) startExecution(ctx context.Context, o order) error {
	_, _, err := a.begin(ctx, o, nil)
	if errors.Is(err, errTaken) {
		return nil
	}
	return err
}

// timeCursor reads the cursor of a list by time, the newest first.
func timeCursor(cursor string) (after int64, afterID string, err error) {
	parts, err := actors.DecodeCursor(cursor, 2)
	if err != nil || parts[1] == "" {
		return 0, "", err
	}
	if after, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
		return 0, "", subjects.InvalidField("cursor", "is not one that a list answered with")
	}
	return after, parts[1], nil
}

// timeKey is the key that timeCursor reads.
func timeKey(at time.Time, id string) []string {
	return []string{strconv.FormatInt(at.UnixMicro(), 10), id}
}

// passingStart tells whether a start may succeed when it is tried again soon.
func passingStart(err error) bool {
	switch subjects.CodeOf(err) {
	case subjects.CodeUnavailable, subjects.CodeTimeout, subjects.CodeRateLimited, subjects.CodeInternal:
		return true
	}
	return false
}

// errorText is an error as a workflow can catch it, as JSON.
func errorText(err error) string {
	data, e := json.Marshal(faultOf(err))
	if e != nil {
		return "{}"
	}
	return string(data)
}

// noteRefused keeps a start that did not come about; first has the user told.
func (a *Actor) noteRefused(ctx context.Context, tx database.Tx, row refusedRow, cause error, first bool) error {
	if err := noteRefusal(ctx, tx, row); err != nil || !first {
		return err
	}
	var coded *subjects.Error
	code := subjects.CodeInternal
	if errors.As(cause, &coded) {
		code = coded.Code
	}
	told, err := json.Marshal(subjects.RunRefused.New("refused."+row.ID, row.UserID, a.Now(), subjects.RunRefusal{
		WorkflowID: row.WorkflowID, Name: row.Name, Trigger: row.Cause, Code: code, Reason: faultOf(cause).Detail,
	}))
	if err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	return a.Outbox.Add(ctx, tx, outbox.Message{
		ID: "refused." + row.ID, Subject: subjects.RunRefused.Subject, Key: row.WorkflowID, Data: told,
	})
}
