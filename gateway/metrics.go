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
	}
	for _, c := range []prometheus.Collector{m.limited, m.breaker, m.streams} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering the gateway's metrics: %w", err)
		}
	}
	return m, nil
}
