package consent

import "github.com/prometheus/client_golang/prometheus"

// metrics counts changes and validations. Scopes, changes and reasons are bounded sets.
type metrics struct {
	changes     *prometheus.CounterVec
	validations *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consent_changes_total", Help: "Changes of consents by scope and change: granted, superseded, revoked.",
		}, []string{"scope", "change"}),
		validations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consent_validations_total", Help: "Replies of validate_consent by reason: active, missing, revoked, expired.",
		}, []string{"reason"}),
	}
	r.MustRegister(m.changes, m.validations)
	return m
}
