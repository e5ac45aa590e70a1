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
	timerDelay   prometheus.Histogram
	partitions   prometheus.Gauge
	refused      *prometheus.CounterVec
	lockHeld     prometheus.Histogram
	evaluation   prometheus.Histogram
	quarantined  prometheus.Counter

	// stepsCompleted is the completed counter of steps.
	stepsCompleted prometheus.Counter
}

func newMetrics(r prometheus.Registerer, e *Engine) *metrics {
	buckets := prometheus.ExponentialBuckets(0.001, 4, 10)
	m := &metrics{
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_executions_total", Help: "Executions that have ended, by status: completed, faulted, cancelled.",
		}, []string{"status"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_execution_duration_seconds", Help: "Duration of an execution, from its start to its end.", Buckets: buckets,
		}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_steps_total", Help: "Calls made, by result: completed, faulted, abandoned.",
		}, []string{"result"}),
		stepDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_step_duration_seconds", Help: "Duration of a call, its retries included.", Buckets: buckets,
		}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "workflow_active_executions", Help: "Executions that this process runs now.",
		}),
		appends: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "workflow_log_appends_total", Help: "Messages appended to logs; each has the transitions of many executions.",
		}),
		projection: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_projection_duration_seconds", Help: "Duration of a projection of the logs to SQL.", Buckets: buckets,
		}),
		timerDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_timer_delay_seconds", Help: "How late timers fire: waits, retries and timeouts, after they were due.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 5, 30, 120},
		}),
		partitions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "workflow_partitions", Help: "Partitions that this process owns.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflow_refused_starts_total", Help: "Starts refused because too many executions wait, by bound: user, process.",
		}, []string{"bound"}),
		lockHeld: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_partition_lock_held_seconds", Help: "How long the lock of a partition is held at a time.",
			Buckets: []float64{0.00001, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1},
		}),
		evaluation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "workflow_evaluation_duration_seconds", Help: "Duration of one slice in the evaluator pool, which makes the large decisions.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		quarantined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "workflow_quarantined_executions_total", Help: "Executions that ended because they cannot be decided, encoded, stored or restored.",
		}),
	}
	m.stepsCompleted = m.steps.WithLabelValues("completed")
	// Counters start at 0 instead of being absent, so that the rate of the first increment is seen.
	for counts, values := range map[*prometheus.CounterVec][]string{
		m.executions: {subjects.ExecutionCompleted, subjects.ExecutionFaulted, subjects.ExecutionCancelled},
		m.steps:      {"faulted", "abandoned"}, m.refused: {"user", "process"},
	} {
		for _, value := range values {
			counts.WithLabelValues(value)
		}
	}
	m.register(r, e)
	return m
}

// register registers the metrics, and those that are read from the engine.
func (m *metrics) register(r prometheus.Registerer, e *Engine) {
	r.MustRegister(m.executions, m.duration, m.steps, m.stepDuration, m.active, m.appends, m.projection, m.timerDelay, m.partitions, m.refused,
		m.lockHeld, m.evaluation, m.quarantined,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_queued_executions", Help: "Executions of this process that wait for a slot.",
		}, func() float64 { return float64(e.executionSlots.Queued()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_blocked_executions", Help: "Executions of this process that wait for their workflows' limits, suspended ones included.",
		}, func() float64 { return float64(e.blockedExecutions()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_queued_steps", Help: "Calls of this process that wait for a slot.",
		}, func() float64 { return float64(e.activities.slots.Queued()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_queued_evaluations", Help: "Large decisions of this process that wait for the evaluator pool.",
		}, func() float64 { return float64(e.evaluators.Queued()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_unprojected_bytes", Help: "Events of this process that the logs have and SQL does not.",
		}, func() float64 { return float64(e.backlog.size()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workflow_held_bytes", Help: "Data that the large executions of this process hold.",
		}, func() float64 { return float64(e.held.bytes()) }))
}

// call records a call that was made. The result is empty for an external one, which is not counted yet.
func (m *metrics) call(result string, took time.Duration) {
	m.stepDuration.Observe(took.Seconds())
	if result != "" {
		m.steps.WithLabelValues(result).Inc()
	}
}

// ended counts an execution that has ended.
func (m *metrics) ended(status string, took time.Duration) {
	m.executions.WithLabelValues(status).Inc()
	m.duration.Observe(took.Seconds())
}
