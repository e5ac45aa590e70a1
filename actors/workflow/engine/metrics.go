package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/subjects"
)

type metrics struct {
	executions   *prometheus.CounterVec
	duration     prometheus.Histogram
	steps        *prometheus.CounterVec
	stepDuration prometheus.Histogram
	active       prometheus.Gauge
	appends      prometheus.Counter
	projection   prometheus.Histogram
	partitions   prometheus.Gauge
	refused      *prometheus.CounterVec

	// stepsCompleted is steps' of that result, for what costs next to nothing else.
	stepsCompleted prometheus.Counter
}

func newMetrics(r prometheus.Registerer, queued, heldBack, queuedCalls func() int) *metrics {
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
		appends: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "workflow_log_appends_total", Help: "Messages appended to logs; each holds the turns of many executions.",
		}),
		projection: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_fold_duration_seconds", Help: "Time of writing what logs say to SQL.", Buckets: buckets,
		}),
		partitions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "workflow_partitions", Help: "Partitions that this process owns.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_refused_starts_total", Help: "Starts refused since too many executions wait, by whose: user, process.",
		}, []string{"bound"}),
	}
	m.stepsCompleted = m.steps.WithLabelValues("completed")
	// What has not happened yet is 0, not absent: an alert on its rate sees the first one.
	for counts, values := range map[*prometheus.CounterVec][]string{
		m.executions: {subjects.ExecutionCompleted, subjects.ExecutionFaulted, subjects.ExecutionCancelled},
		m.steps:      {"faulted", "abandoned"}, m.refused: {"user", "process"},
	} {
		for _, value := range values {
			counts.WithLabelValues(value)
		}
	}
	r.MustRegister(m.executions, m.duration, m.steps, m.stepDuration, m.active, m.appends, m.projection, m.partitions, m.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_queued_executions", Help: "Executions of this process that wait for a slot.",
		}, func() float64 { return float64(queued()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_held_back_executions", Help: "Executions of this process that wait for their workflows' limits, suspended ones too.",
		}, func() float64 { return float64(heldBack()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_queued_steps", Help: "Calls of this process that wait for a slot.",
		}, func() float64 { return float64(queuedCalls()) }))
	return m
}

// ended counts an execution that has ended.
func (m *metrics) ended(status string, took time.Duration) {
	m.executions.WithLabelValues(status).Inc()
	m.duration.Observe(took.Seconds())
}
