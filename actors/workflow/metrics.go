package workflow

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	executions   *prometheus.CounterVec
	duration     prometheus.Histogram
	steps        *prometheus.CounterVec
	stepDuration prometheus.Histogram
	active       prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	buckets := prometheus.ExponentialBuckets(0.001, 4, 10)
	m := &metrics{
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_executions_total", Help: "Executions that have ended, by status: completed, faulted, cancelled.",
		}, []string{"status"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_execution_duration_seconds", Help: "Time from an execution's start to its end.", Buckets: buckets,
		}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_steps_total", Help: "Calls that were made, by result: completed, faulted, abandoned.",
		}, []string{"result"}),
		stepDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_step_duration_seconds", Help: "Time of a call, its retries included.", Buckets: buckets,
		}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "workflow_active_executions", Help: "Executions that this process carries on now.",
		}),
	}
	r.MustRegister(m.executions, m.duration, m.steps, m.stepDuration, m.active)
	return m
}
