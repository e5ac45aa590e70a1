package integration

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count calls. Label values are ids of manifests and classes of errors: bounded sets.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	hooks    *prometheus.CounterVec
	// throttled counts calls that found a limit used up.
	throttled *prometheus.CounterVec
	renewals  *prometheus.CounterVec
	// objects counts what became of objects; objectBytes is what they take up.
	objects     *prometheus.CounterVec
	objectBytes prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer, c ObjectsConfig, states func() map[string]float64) metrics {
	m := metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "integration_calls_total", Help: "Calls of providers by their outcome: ok, or the class of the error.",
		}, []string{"provider", "action", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "integration_call_duration_seconds", Help: "How long calls of providers took, with all attempts and waits.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 13),
		}, []string{"provider"}),
	}
	m.hooks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_webhooks_total", Help: "Deliveries of providers by what became of them.",
	}, []string{"provider", "result"})
	m.throttled = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_throttled_total", Help: "Calls that found a provider's limit used up: waited for it, or were refused.",
	}, []string{"provider", "result"})
	m.renewals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_token_renewals_total", Help: "Access tokens that were asked for anew: ok or error.",
	}, []string{"provider", "result"})
	m.objects = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_objects_total", Help: "Files kept by reference, by what became of them: stored, deleted or expired.",
	}, []string{"result"})
	m.objectBytes = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "integration_object_bytes", Help: "What the files that are kept by reference count for, of all users, in bytes.",
	})
	most := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "integration_object_bytes_limit", Help: "What they may count for, integration.objects.total.",
	})
	most.Set(float64(c.Total))
	registry.MustRegister(most, m.calls, m.duration, m.hooks, m.throttled, m.renewals, m.objects, m.objectBytes, &breakerCollector{
		states: states, desc: prometheus.NewDesc("integration_breaker_state",
			"The worst breaker of a provider's hosts: 0 closed, 1 half open, 2 open.", []string{"provider"}, nil),
	})
	return m
}

func (m metrics) observe(provider, action, result string, took time.Duration) {
	m.calls.WithLabelValues(provider, action, result).Inc()
	m.duration.WithLabelValues(provider).Observe(took.Seconds())
}

func (m metrics) renewed(provider string, err error) {
	result := callOK
	if err != nil {
		result = callFailed
	}
	m.renewals.WithLabelValues(provider, result).Inc()
}

// countObject counts what became of an object, unless it did not.
func (m metrics) countObject(result string, did bool) {
	if did {
		m.objects.WithLabelValues(result).Inc()
	}
}

// breakerCollector reads the breakers when it is asked: an open one turns half open without telling.
type breakerCollector struct {
	states func() map[string]float64
	desc   *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *breakerCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *breakerCollector) Collect(ch chan<- prometheus.Metric) {
	for provider, state := range c.states() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, state, provider)
	}
}

// countDelivery counts a delivery; an address may name any provider, a label may not.
func (a *Actor) countDelivery(provider, result string) {
	if !a.shelf.has(provider) {
		provider = "unknown"
	}
	a.metrics.hooks.WithLabelValues(provider, result).Inc()
}
