package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// queueGroup is that of NATS micro: copies of an actor share its requests.
const queueGroup = micro.DefaultQueueGroup

// microService answers NATS micro's discovery for an actor (NATS ADR-32): `nats micro ls`, `info` and `stats`. The client library's own
// service is not used, because it takes a request as processed, without error, when the subscription's callback returns, and
// the runtime answers later.
type microService struct {
	identity      micro.ServiceIdentity
	description   string
	started       time.Time
	endpoints     []*microEndpoint
	subscriptions []*nats.Subscription
}

// microEndpoint is a subject of an endpoint.
type microEndpoint struct {
	name, subject string
	metadata      map[string]string
	stats         *endpointStats
}

// addService subscribes to the discovery subjects of a service.
func (r *Runtime) addService() (*microService, error) {
	s := &microService{
		identity:    micro.ServiceIdentity{Name: r.service.Name, ID: nuid.Next(), Version: r.Version, Metadata: map[string]string{}},
		description: "weft " + r.service.Name, started: time.Now().UTC(),
	}
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb:  func() any { return micro.Ping{ServiceIdentity: s.identity, Type: micro.PingResponseType} },
		micro.InfoVerb:  func() any { return s.info() },
		micro.StatsVerb: func() any { return s.stats() },
	} {
		for _, of := range [][2]string{{"", ""}, {s.identity.Name, ""}, {s.identity.Name, s.identity.ID}} {
			subject, err := micro.ControlSubject(verb, of[0], of[1])
			if err != nil {
				return nil, errors.Join(err, s.stop())
			}
			if err := s.subscribe(r.Conn.Subscribe(subject, func(m *nats.Msg) { r.discover(m, answer()) })); err != nil {
				return nil, errors.Join(err, s.stop())
			}
		}
	}
	return s, nil
}

// addEndpoint subscribes to a subject of an endpoint in the queue group of the actor's copies.
func (s *microService) addEndpoint(conn *nats.Conn, e microEndpoint, handle nats.MsgHandler) error {
	if err := s.subscribe(conn.QueueSubscribe(e.subject, queueGroup, handle)); err != nil {
		return err
	}
	s.endpoints = append(s.endpoints, &e)
	return nil
}

// Bounds of what a subscription holds before the runtime accepts it, which is a matter of microseconds. What exceeds them is dropped and
// reported as a slow consumer.
const (
	pendingMessages = 16 << 10
	pendingBytes    = 16 << 20
)

func (s *microService) subscribe(sub *nats.Subscription, err error) error {
	if err != nil {
		return err
	}
	s.subscriptions = append(s.subscriptions, sub)
	return sub.SetPendingLimits(pendingMessages, pendingBytes)
}

// stop drains every subscription: what the server has already sent is still delivered.
func (s *microService) stop() error {
	var errs []error
	for _, sub := range s.subscriptions {
		if err := sub.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			errs = append(errs, fmt.Errorf("draining %s: %w", sub.Subject, err))
		}
	}
	return errors.Join(errs...)
}

// discover answers a discovery request. As accept does, it answers to inboxes only.
func (r *Runtime) discover(m *nats.Msg, answer any) {
	if !mesh.IsInbox(m.Reply, mesh.UserOperator) {
		return
	}
	body, err := json.Marshal(answer)
	if err == nil {
		err = r.Conn.PublishMsg(&nats.Msg{Subject: m.Reply, Data: body})
	}
	if err != nil {
		r.Telemetry.Log.Warn("discovery not answered", zap.String("subject", m.Subject), zap.Error(err))
	}
}

func (s *microService) info() micro.Info {
	info := micro.Info{ServiceIdentity: s.identity, Type: micro.InfoResponseType, Description: s.description, Endpoints: []micro.EndpointInfo{}}
	for _, e := range s.endpoints {
		info.Endpoints = append(info.Endpoints, micro.EndpointInfo{Name: e.name, Subject: e.subject, QueueGroup: queueGroup, Metadata: e.metadata})
	}
	return info
}

func (s *microService) stats() micro.Stats {
	stats := micro.Stats{ServiceIdentity: s.identity, Type: micro.StatsResponseType, Started: s.started, Endpoints: []*micro.EndpointStats{}}
	for _, e := range s.endpoints {
		stats.Endpoints = append(stats.Endpoints, e.stats.snapshot(e))
	}
	return stats
}

// endpointStats are the figures of one subject of an endpoint since the actor's start.
type endpointStats struct {
	requests, errors, nanoseconds atomic.Int64
	lastError                     atomic.Pointer[string]
}

// observe counts a request that took so long and ended with a code; empty for success. Waiting for a free place of the endpoint counts
// as time.
func (s *endpointStats) observe(code subjects.Code, took time.Duration) {
	s.requests.Add(1)
	s.nanoseconds.Add(int64(took))
	if code != "" {
		s.errors.Add(1)
		text := string(code)
		s.lastError.Store(&text)
	}
}

func (s *endpointStats) snapshot(e *microEndpoint) *micro.EndpointStats {
	requests, total := s.requests.Load(), time.Duration(s.nanoseconds.Load())
	stats := &micro.EndpointStats{
		Name: e.name, Subject: e.subject, QueueGroup: queueGroup, NumRequests: int(requests), NumErrors: int(s.errors.Load()),
		ProcessingTime: total, AverageProcessingTime: total / time.Duration(max(1, requests)),
	}
	if last := s.lastError.Load(); last != nil {
		stats.LastError = *last
	}
	return stats
}
