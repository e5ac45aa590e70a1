package consent

import "github.com/prometheus/client_golang/prometheus"

// metrics counts changes and validations. Scopes, changes and reasons are bounded sets.
type metrics struct {
	changes     *prometheus.CounterVec
	validations *prometheus.CounterVec
	// ledgerEntries is the size of the ledger's tree, ledgerAdded what this process has added to it.
	ledgerEntries prometheus.Gauge
	ledgerAdded   prometheus.Counter
	// noticesServed counts served notices, gpcDirectives accounts whose Global Privacy Control was seen for the first time.
	noticesServed, gpcDirectives prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consent_changes_total", Help: "Changes of consents by scope and change: granted, refused, superseded, revoked, renewal_required, gpc.",
		}, []string{"scope", "change"}),
		validations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "consent_validations_total", Help: "Replies of validate_consent by reason: active, missing, revoked, expired, renewal_required, gpc.",
		}, []string{"reason"}),
	}
	m.ledgerEntries = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "consent_ledger_entries", Help: "Entries of the ledger's tree when this process last added some.",
	})
	m.ledgerAdded = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "consent_ledger_added_total", Help: "Entries that this process has added to the ledger.",
	})
	m.noticesServed = prometheus.NewCounter(prometheus.CounterOpts{Name: "consent_notices_served_total", Help: "Notices that were served."})
	m.gpcDirectives = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "consent_gpc_directives_total", Help: "Accounts whose Global Privacy Control this process has seen first.",
	})
	r.MustRegister(m.changes, m.validations, m.ledgerEntries, m.ledgerAdded, m.noticesServed, m.gpcDirectives)
	return m
}
