package edge

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/weftmesh/weft/subjects"
)

// ServiceName is the name of the NATS micro service at the edge, whose statistics are a Status.
const ServiceName = "edge"

// Status is the state of an edge node.
type Status struct {
	Name string `json:"name"`
	Hub  string `json:"hub"`
	// Linked reports whether the leaf connection is up.
	Linked bool `json:"linked"`
	// AsOf is the time of the last contact, nil before the first.
	AsOf *time.Time `json:"as_of,omitempty"`
	// LeaseLeftMS is for how long the edge may act without another contact, in milliseconds.
	LeaseLeftMS int64 `json:"lease_left_ms"`
	// SkewMS is the hub's clock less the edge's, as of the last contact, in milliseconds.
	SkewMS    int64                `json:"skew_ms"`
	Outbox    subjects.OutboxState `json:"outbox"`
	Enrolment subjects.Enrolment   `json:"enrolment"`
	Version   string               `json:"version"`
}

// Status returns the present state.
func (n *Node) Status(ctx context.Context) (Status, error) {
	report, err := n.report(ctx)
	s := Status{
		Name: n.options.Name, Hub: n.options.Hub, Linked: n.uplink.linked(), LeaseLeftMS: n.clock.left().Milliseconds(),
		SkewMS: report.SkewMS, Version: n.options.Version, Enrolment: n.mirror.state(Grant{}).Enrolment,
		Outbox: subjects.OutboxState{Messages: report.OutboxMessages, Bytes: report.OutboxBytes, LagMS: report.LagMS, Refused: report.Refused},
	}
	if at := n.AsOf(); !at.IsZero() {
		s.AsOf = &at
	}
	return s, err
}

// statusWithin bounds the reading of the status for one request.
const statusWithin = time.Second

// startService answers NATS micro's discovery at the edge (NATS ADR-32). The data of the endpoint status is a Status.
func (n *Node) startService() (micro.Service, error) {
	service, err := micro.AddService(n.options.Local, micro.Config{
		Name: ServiceName, Version: "0.0.1", Description: "weft edge node " + n.options.Name, Metadata: map[string]string{"edge": n.options.Name},
		StatsHandler: func(*micro.Endpoint) any {
			ctx, cancel := context.WithTimeout(context.Background(), statusWithin)
			defer cancel()
			status, err := n.Status(ctx)
			if err != nil {
				return map[string]string{"error": err.Error()}
			}
			return status
		},
	})
	if err == nil {
		err = service.AddEndpoint("status", micro.HandlerFunc(func(r micro.Request) {
			status, err := n.Status(context.Background())
			if err != nil {
				_ = r.Error(string(subjects.CodeUnavailable), "the outbox cannot be read", nil)
				return
			}
			_ = r.RespondJSON(status)
		}), micro.WithEndpointSubject(subjects.EdgeStatus))
	}
	if err != nil {
		return nil, fmt.Errorf("answering discovery: %w", err)
	}
	return service, nil
}
