package notification

import "github.com/prometheus/client_golang/prometheus"

// metrics counts notifications and delivery attempts. Categories, channels and results are bounded sets.
type metrics struct {
	accepted   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	decisions  *prometheus.CounterVec
	requeued   prometheus.Counter
	renderings *prometheus.CounterVec
	// failuresLeftOut counts failures of workflows that their users are not notified of.
	failuresLeftOut prometheus.Counter

	callbacks, mailDelivered, mailFailed, complaints, unsubscribes *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_accepted_total", Help: "Accepted notifications by category.",
		}, []string{"category"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_deliveries_total", Help: "Delivery attempts by channel and result: delivered, failed, suppressed, deferred, retried.",
		}, []string{"channel", "result"}),
	}
	m.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notification_decisions_total", Help: "Deliveries that were suppressed, deferred or batched before an attempt, by channel and reason.",
	}, []string{"channel", "reason"})
	m.requeued = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "notification_requeued_total", Help: "Deliveries whose job was lost and made again.",
	})
	m.renderings = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notification_renderings_total", Help: "Templates that were rendered for a delivery, by channel and result: rendered, failed.",
	}, []string{"channel", "result"})
	m.failuresLeftOut = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "notification_failures_left_out_total", Help: "Failures of workflows that users with too many waiting notifications were not notified of.",
	})
	r.MustRegister(m.accepted, m.deliveries, m.decisions, m.requeued, m.renderings, m.failuresLeftOut)
	m.registerMail(r)
	return m
}
