package integration

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the actor's metrics. Label values are ids of manifests and fixed words, so that their number is bounded.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	hooks    *prometheus.CounterVec
	// throttled counts calls that found a rate limit exhausted.
	throttled *prometheus.CounterVec
	renewals  *prometheus.CounterVec
	// objects counts stored and deleted objects; objectBytes is their usage.
	objects     *prometheus.CounterVec
	objectBytes prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer, c ObjectsConfig, breakerStates func() map[string]float64) metrics {
	m := metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "integration_calls_total", Help: "Calls to providers by result: ok, or the class of the error.",
		}, []string{"provider", "action", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "integration_call_duration_seconds", Help: "Duration of calls to providers, with all attempts and waits.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 13),
		}, []string{"provider"}),
	}
	m.hooks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_webhooks_total", Help: "Deliveries of providers by result.",
	}, []string{"provider", "result"})
	m.throttled = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_throttled_total", Help: "Calls that found a provider's rate limit exhausted: waited or refused.",
	}, []string{"provider", "result"})
	m.renewals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_token_renewals_total", Help: "Renewals of access tokens: ok or error.",
	}, []string{"provider", "result"})
	m.objects = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "integration_objects_total", Help: "Files passed by reference: stored, deleted or expired.",
	}, []string{"result"})
	m.objectBytes = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "integration_object_bytes", Help: "Usage of files passed by reference, of all users, in bytes.",
	})
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "integration_object_bytes_limit", Help: "Quota of files passed by reference, integration.objects.total.",
	})
	limit.Set(float64(c.Total))
	registerer.MustRegister(limit, m.calls, m.duration, m.hooks, m.throttled, m.renewals, m.objects, m.objectBytes, &breakerCollector{
		states: breakerStates, desc: prometheus.NewDesc("integration_breaker_state",
			"State of a provider's circuit breakers, the worst of its hosts: 0 closed, 1 half open, 2 open.", []string{"provider"}, nil),
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

// countObjectIf counts an object's result if condition holds.
func (m metrics) countObjectIf(condition bool, result string) {
	if condition {
		m.objects.WithLabelValues(result).Inc()
	}
}

// breakerCollector reads the breakers at each scrape, because an open breaker becomes half open without an event.
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

// breakerStates returns each provider's worst breaker as the gauge shows it.
func (a *Actor) breakerStates() map[string]float64 {
	ids := a.registry.ids()
	worst := make(map[string]float64, len(ids))
	for _, id := range ids {
		worst[id] = breakerRank[worstBreaker(a.breakers.States(id))]
	}
	return worst
}

const breakerClosed = "closed"

var breakerRank = map[string]float64{breakerClosed: 0, "half_open": 1, "open": 2}

// worstBreaker returns the worst of breakers' states by host.
func worstBreaker(hosts map[string]string) string {
	worst := breakerClosed
	for _, state := range hosts {
		if breakerRank[state] > breakerRank[worst] {
			worst = state
		}
	}
	return worst
}
