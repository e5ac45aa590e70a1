package consent

import "github.com/prometheus/client_golang/prometheus"

// privacyMetrics counts requests under data protection law.
type privacyMetrics struct {
	changes  *prometheus.CounterVec
	failures prometheus.Counter
	exported prometheus.Counter
	overdue  prometheus.Gauge
}

func newPrivacyMetrics(r prometheus.Registerer) privacyMetrics {
	m := privacyMetrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consent_privacy_requests_total", Help: "Changes of privacy requests by kind and change: received, extended, completed, rejected.",
		}, []string{"kind", "change"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "consent_privacy_failures_total", Help: "Attempts to collect the data of a privacy request that have failed.",
		}),
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "consent_privacy_exported_bytes_total", Help: "Bytes of the files that have answered privacy requests.",
		}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "consent_privacy_overdue", Help: "Privacy requests in progress whose due date has passed, when this process last looked.",
		}),
	}
	r.MustRegister(m.changes, m.failures, m.exported, m.overdue)
	return m
}
