package runtime

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/mesh"
)

// The reasons in weft_messages_deferred_total.
const (
	// deferralRetry: the handling failed and is tried again.
	deferralRetry = "retry"
	// deferralShare: others of the same user come first.
	deferralShare = "share"
	// deferralRefused: it was to be tried again, and became a dead letter because too much was deferred.
	deferralRefused = "refused"
)

// metrics are those of the runtimes of a process, which share a registry.
type metrics struct {
	deferrals, deadLetters *prometheus.CounterVec
	deferred               *prometheus.GaugeVec
	// pending and unacknowledged are of each durable, as the server says.
	pending, unacknowledged *prometheus.GaugeVec
}

func newMetrics(t *mesh.Telemetry) metrics {
	return metrics{
		deferrals: shared(t, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_messages_deferred_total",
			Help: "Messages that a worker deferred: retry, to be tried again; share, because others of the same user come first; " +
				"refused, became a dead letter instead because too much is deferred.",
		}, []string{"durable", "reason"})),
		deferred: shared(t, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weft_messages_deferred", Help: "Messages that the workers of an actor have deferred.",
		}, []string{"actor"})),
		deadLetters: shared(t, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_dead_letters_total", Help: "Messages that were moved to the stream DEAD, because they cannot be handled.",
		}, []string{"durable"})),
		pending: shared(t, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weft_durable_pending_messages", Help: "Messages of a durable that were not delivered yet, read every 15 seconds.",
		}, []string{"durable"})),
		unacknowledged: shared(t, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weft_durable_unacknowledged_messages", Help: "Messages of a durable that were delivered and not acknowledged yet, read every 15 seconds.",
		}, []string{"durable"})),
	}
}

// shared registers a collector, or returns the one that another runtime of the process has registered.
func shared[C prometheus.Collector](t *mesh.Telemetry, collector C) C {
	err := t.Registry.Register(collector)
	var existing prometheus.AlreadyRegisteredError
	if errors.As(err, &existing) {
		if c, ok := existing.ExistingCollector.(C); ok {
			return c
		}
	}
	if err != nil {
		panic("runtime: " + err.Error())
	}
	return collector
}

// lagInterval is the time between two readings of how far a durable is behind its stream.
const lagInterval = 15 * time.Second

// observeLag reads how far the durable is behind its stream.
func (c *consumer) observeLag() {
	ctx, cancel := context.WithTimeout(c.r.work, checkTimeout)
	defer cancel()
	info, err := c.durable.Info(ctx)
	if err != nil {
		return // readiness reports a durable that does not answer
	}
	c.r.metrics.pending.WithLabelValues(c.w.Consumer.Durable).Set(float64(info.NumPending))
	c.r.metrics.unacknowledged.WithLabelValues(c.w.Consumer.Durable).Set(float64(info.NumAckPending))
}

// recovered calls f, turns a panic into an error with the stack, and counts it.
func (r *Runtime) recovered(f func() error) error { return r.Telemetry.Recovered(r.service.Name, f) }
