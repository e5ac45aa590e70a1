package webhooks

import "github.com/prometheus/client_golang/prometheus"

// webhookMetrics counts events for webhooks. Types, results and statuses are bounded sets.
type webhookMetrics struct {
	events    *prometheus.CounterVec
	disabled  *prometheus.CounterVec
	throttled prometheus.Counter
}

// The results of an event.
const (
	// eventStored: it is delivered to at least one webhook.
	eventStored = "stored"
	// eventUnmatched: the user has webhooks, and none takes it.
	eventUnmatched = "unmatched"
	// eventDropped: a bound of the user was reached.
	eventDropped = "dropped"
	// eventConditionError: the condition of a webhook failed.
	eventConditionError = "condition_error"
)

func newWebhookMetrics(r prometheus.Registerer) webhookMetrics {
	m := webhookMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_webhook_events_total",
			Help: "Events of users with webhooks, by type and result: stored, unmatched, dropped, condition_error.",
		}, []string{"type", "result"}),
		disabled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_webhooks_disabled_total", Help: "Webhooks that weft has disabled, by status: disabled_by_failures, gone.",
		}, []string{"status"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "notification_webhook_throttled_total", Help: "Attempts that had to wait because their webhook had used up its attempts of the minute.",
		}),
	}
	r.MustRegister(m.events, m.disabled, m.throttled)
	return m
}
