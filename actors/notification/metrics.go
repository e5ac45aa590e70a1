package notification

import "github.com/prometheus/client_golang/prometheus"

// metrics counts notifications and delivery attempts. Categories, channels and results are bounded sets.
type metrics struct {
	accepted   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_accepted_total", Help: "Accepted notifications by category.",
		}, []string{"category"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_deliveries_total", Help: "Delivery attempts by channel and result: delivered, failed, retried.",
		}, []string{"channel", "result"}),
	}
	r.MustRegister(m.accepted, m.deliveries)
	return m
}
