package edge

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxForwarded bounds the calls that are forwarded at a time; further ones are refused.
	maxForwarded = 256
	// proxyQueue is the queue group of the proxy's subscriptions.
	proxyQueue = "edge"
)

// proxy answers the calls of the edge's mesh to actors that run at the hub only: some from the mirror while the hub cannot be reached, all
// others by forwarding them.
type proxy struct {
	*Node

	slots chan struct{}
	subs  []*nats.Subscription
	// offline are the endpoints that are answered from the mirror while the hub cannot be reached, by their subjects.
	offline map[string]func(ctx context.Context, m *nats.Msg) (any, error)
}

// forwarded are the actors whose calls are forwarded.
func forwarded() []string {
	var list []string
	for _, actor := range subjects.Actors() {
		if actor != "workflow" {
			list = append(list, actor)
		}
	}
	return list
}

// startProxy subscribes to the subjects of the endpoints.
func (n *Node) startProxy(ctx context.Context) (*proxy, error) {
	p := &proxy{Node: n, slots: make(chan struct{}, maxForwarded)}
	p.offline = map[string]func(context.Context, *nats.Msg) (any, error){
		subjects.JWKS.Subject: p.jwks, subjects.ValidateConsent.Subject: p.validateConsent,
	}
	byPlain := map[string]*subjects.Descriptor{}
	patterns := []string{subjects.ExchangeAPIKey.Describe().ServiceSubject(mesh.UserGateway)}
	for _, d := range subjects.Endpoints() {
		byPlain[d.Subject] = d
	}
	for _, actor := range forwarded() {
		patterns = append(patterns, subjects.EndpointsOf(actor)[0])
	}
	for _, pattern := range patterns {
		sub, err := n.options.Local.QueueSubscribe(pattern, proxyQueue, func(m *nats.Msg) {
			plain, _, _ := strings.Cut(m.Subject, ".as.")
			select {
			case p.slots <- struct{}{}:
				go func() {
					defer func() { <-p.slots }()
					p.answer(ctx, byPlain[plain], m)
				}()
			default:
				p.fail(m, &subjects.Error{
					Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, Detail: "too many calls are being forwarded", RetryAfter: subjects.RetrySoon,
				})
			}
		})
		if err != nil {
			return nil, err
		}
		p.subs = append(p.subs, sub)
	}
	return p, n.options.Local.FlushTimeout(barrierWithin)
}

// close ends the subscriptions.
func (p *proxy) close() {
	for _, sub := range p.subs {
		_ = sub.Unsubscribe()
	}
}

// answer answers one call.
func (p *proxy) answer(ctx context.Context, d *subjects.Descriptor, m *nats.Msg) {
	if d == nil {
		p.fail(m, subjects.Errorf(subjects.CodeNotFound, "there is no such endpoint"))
		return
	}
	if p.clock.left() == 0 {
		p.fail(m, errLeaseExpired)
		return
	}
	if d.Stream {
		p.fail(m, subjects.Errorf(subjects.CodeUnsupported, "an edge node does not stream from the hub; connect to the hub"))
		return
	}
	ctx, cancel := context.WithTimeout(mesh.Propagator.Extract(ctx, mesh.Carrier(m.Header)), mesh.Timeout(m.Header, d.Timeout))
	defer cancel()
	subject := d.Subject
	if m.Subject != d.Subject { // exchange_api_key, which the hub admits edge nodes to
		subject = d.EnrolledSubject(subjects.KindEdge, p.options.Name)
	}
	reply, err := p.uplink.forward(ctx, subject, m.Header, m.Data)
	if reply == nil && err != nil {
		if answer := p.offline[d.Subject]; answer != nil && subjects.CodeOf(err) == subjects.CodeUnavailable {
			p.mirrored(ctx, m, answer)
			return
		}
		p.fail(m, err)
		return
	}
	p.respond(m, &nats.Msg{Header: reply.Header, Data: reply.Data})
}

// mirrored answers a call from the mirror.
func (p *proxy) mirrored(ctx context.Context, m *nats.Msg, answer func(context.Context, *nats.Msg) (any, error)) {
	result, err := answer(ctx, m)
	if err == nil {
		var data []byte
		if data, err = subjects.Encode(result); err == nil {
			p.respond(m, &nats.Msg{Header: nats.Header{mesh.HeaderAsOf: {p.AsOf().UTC().Format(time.RFC3339)}}, Data: data})
			return
		}
	}
	p.fail(m, err)
}

func (p *proxy) fail(m *nats.Msg, err error) {
	problem := subjects.ProblemOf(err, m.Header.Get(mesh.HeaderRequestID), "")
	body, failed := subjects.Encode(problem)
	if failed != nil {
		p.options.Log.Error("encoding a problem", zap.Error(failed))
		return
	}
	p.respond(m, &nats.Msg{Data: body, Header: nats.Header{mesh.HeaderErrorCode: {string(problem.Code)}, mesh.HeaderError: {problem.Title}}})
}

func (p *proxy) respond(m *nats.Msg, reply *nats.Msg) {
	if m.Reply == "" {
		return
	}
	reply.Subject = m.Reply
	if err := p.options.Local.PublishMsg(reply); err != nil {
		p.options.Log.Warn("a reply could not be sent", zap.String("subject", m.Subject), zap.Error(err))
	}
}

func (p *proxy) jwks(context.Context, *nats.Msg) (any, error) {
	set, known := p.mirror.jwks()
	if !known {
		return nil, errOffline
	}
	return set, nil
}

// validateConsent answers for the caller, who must have a valid token, from the mirrored states.
func (p *proxy) validateConsent(ctx context.Context, m *nats.Msg) (any, error) {
	request, err := subjects.ValidateConsent.Decode(m.Data)
	if err != nil {
		return nil, err
	}
	token, ok := strings.CutPrefix(m.Header.Get(mesh.HeaderAuthorization), "Bearer ")
	if !ok {
		return nil, subjects.Errorf(subjects.CodeUnauthenticated, "an access token is required")
	}
	claims, err := p.options.Verifier.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := mesh.MayCall(subjects.ValidateConsent.Describe(), claims); err != nil {
		return nil, err
	}
	if request.UserID != "" && request.UserID != claims.Subject {
		return nil, subjects.Errorf(subjects.CodeForbidden, "user_id is for services")
	}
	if err := p.Permit(claims.Subject); err != nil {
		return nil, err
	}
	state, known := p.mirror.consentState(claims.Subject, request.Scope)
	decision := subjects.ConsentDecision{Scope: request.Scope, Reason: "missing"}
	if !known {
		return decision, nil
	}
	decision.ConsentID, decision.ExpiresAt, decision.Reason = state.ConsentID, state.ExpiresAt, state.Status
	if state.ExpiresAt != nil && !p.Now().Before(*state.ExpiresAt) {
		decision.Reason = "expired"
	}
	decision.Allowed = decision.Reason == subjects.ConsentActive
	return decision, nil
}
