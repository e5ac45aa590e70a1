package workflow

import "github.com/prometheus/client_golang/prometheus"

// metrics count what starts executions and what follows from them; the engine has its own.
type metrics struct {
	scheduledRuns *prometheus.CounterVec
	events        *prometheus.CounterVec
	approvals     *prometheus.CounterVec
	failures      *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		scheduledRuns: counter("workflow_scheduled_runs_total", "Runs of schedules by result: started, skipped, missed, refused.", "result"),
		events: counter("workflow_events_total",
			"Events that were matched against event schedules, by origin: published, webhook, emitted, lifecycle, extension.", "origin"),
		approvals: counter("workflow_approvals_total", "Approval requests by result: asked, approved, rejected, expired.", "result"),
		failures:  counter("workflow_failures_settled_total", "Failures by result: replayed, dismissed.", "result"),
	}
	r.MustRegister(m.scheduledRuns, m.events, m.approvals, m.failures)
	return m
}
