package workflow

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
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
