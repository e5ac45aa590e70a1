package dispatch

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
)

// metrics counts attempts. Results are a bounded set.
type metrics struct {
	attempts  *prometheus.CounterVec
	duration  prometheus.Histogram
	inFlight  prometheus.Gauge
	pending   prometheus.Gauge
	oldestDue prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, s *scheduler) metrics {
	m := metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_webhook_attempts_total", Help: "Attempts to deliver to webhook endpoints by result: succeeded, retried, failed, gone.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "notification_webhook_attempt_duration_seconds", Help: "Duration of attempts to deliver to webhook endpoints.",
			Buckets: []float64{.005, .02, .1, .5, 1, 5, 15},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_webhook_attempts_in_flight", Help: "Attempts to deliver to webhook endpoints that this process is making.",
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_webhook_deliveries_pending", Help: "Webhook deliveries that wait for an attempt, of all processes; 100000 if there are more.",
		}),
		oldestDue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "notification_webhook_oldest_due_seconds", Help: "For how long the oldest due webhook delivery has been due, of the endpoints looked at last.",
		}),
	}
	unrecorded := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "notification_webhook_attempts_unrecorded", Help: "Attempts to deliver to webhook endpoints that are made and not yet recorded.",
	}, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.unrecorded)
	})
	if r != nil {
		r.MustRegister(m.attempts, m.duration, m.inFlight, m.pending, m.oldestDue, unrecorded)
	}
	return m
}

func (m metrics) attempt(a Attempt, v verdict) {
	result := "retried"
	switch {
	case v.succeeded:
		result = "succeeded"
	case v.unwanted:
		result = "gone"
	case v.final:
		result = "failed"
	}
	m.attempts.WithLabelValues(result).Inc()
	m.duration.Observe(a.Duration.Seconds())
}

const (
	// sampleEvery is how often pending deliveries are counted, up to maxCounted.
	sampleEvery = 15 * time.Second
	maxCounted  = 100_000
	// retainEvery is how often old deliveries are deleted.
	retainEvery = 10 * time.Minute
)

// retain deletes what is older than Options.Keep, and counts what is pending.
func (d *Dispatcher) retain(ctx context.Context) {
	var last time.Time
	upkeep := func() {
		if n, err := d.store.pending(ctx, maxCounted); err == nil {
			d.metrics.pending.Set(float64(n))
		}
		if now := time.Now(); now.Sub(last) >= retainEvery {
			last = now
			if _, err := d.Sweep(ctx); err != nil {
				d.warn(ctx, "old webhook deliveries could not be deleted; retrying", err)
			}
		}
	}
	upkeep()
	_ = wait.Every(ctx, sampleEvery, upkeep)
}

// Sweep deletes deliveries that were created before Options.Keep and are not pending, with their attempts and events, in bounded
// transactions, and returns their number. Run does so every ten minutes.
func (d *Dispatcher) Sweep(ctx context.Context) (swept int, err error) {
	before := d.o.Now().Add(-d.o.Keep)
	for ctx.Err() == nil {
		var n int
		err := d.store.write(ctx, func(ctx context.Context, tx database.Tx) (err error) {
			n, err = d.store.deleteBefore(ctx, tx, before, upkeepBatch)
			return err
		})
		swept += n
		if err != nil || n < upkeepBatch {
			return swept, err
		}
	}
	return swept, context.Cause(ctx)
}
