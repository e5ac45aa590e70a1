package gateway

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the gateway's own metrics. Requests and durations are recorded by Telemetry with actor="gateway".
type metrics struct {
	limited *prometheus.CounterVec
	breaker *prometheus.GaugeVec
	streams prometheus.Gauge
	// refused counts the requests without the memory that they need.
	refused *prometheus.CounterVec
	// connections are the open ones, dropped those that were closed for others.
	connections prometheus.Gauge
	dropped     *prometheus.CounterVec
	compressed  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_gateway_limited_total", Help: "Requests rejected by a rate limit: global, user, ip or endpoint.",
		}, []string{"limit"}),
		breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weft_gateway_breaker_state", Help: "State of each actor's circuit breaker: 0 closed, 1 half open, 2 open.",
		}, []string{"actor"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weft_gateway_streams", Help: "Open server-sent event streams, uploads and downloads.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_gateway_memory_refused_total",
			Help: "Requests refused for want of memory: for small or large bodies or responses, because the caller has its share or all is in use.",
		}, []string{"budget", "reason"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weft_gateway_connections", Help: "Open HTTP connections.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_gateway_connections_dropped_total",
			Help: "HTTP connections closed because there were too many: idle ones for newer ones, new ones if none was idle, and those with too many header lines.",
		}, []string{"reason"}),
		compressed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_gateway_compressed_bodies_total", Help: "Response bodies that could be compressed, by content coding: gzip, zstd or identity.",
		}, []string{"encoding"}),
	}
	for _, c := range []prometheus.Collector{m.limited, m.breaker, m.streams, m.refused, m.connections, m.dropped, m.compressed} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering the gateway's metrics: %w", err)
		}
	}
	return m, nil
}
