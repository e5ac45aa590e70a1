package runtime

import (
	"errors"

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
	deferrals *prometheus.CounterVec
	deferred  *prometheus.GaugeVec
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

// recovered calls f, turns a panic into an error with the stack, and counts it.
func (r *Runtime) recovered(f func() error) error { return r.Telemetry.Recovered(r.service.Name, f) }
