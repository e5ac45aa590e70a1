package gateway

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/gateway/mcp"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// mcpTimeout bounds a request to /mcp: an action's timeout, and what precedes it.
	mcpTimeout = 2*time.Minute + subjects.DefaultTimeout
	// maxMCPCalls bounds a user's requests to /mcp in progress in this gateway.
	maxMCPCalls = 8
)

// agents serves /mcp.
type agents struct {
	handler *mcp.Handler
	mu      sync.Mutex
	// inProgress counts the requests by user.
	inProgress map[string]int
}

func newAgents(version string) *agents {
	return &agents{handler: mcp.New(version), inProgress: map[string]int{}}
}

// begin counts a request of a user and reports whether it may proceed; end must follow then.
func (a *agents) begin(user string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inProgress[user] >= maxMCPCalls {
		return false
	}
	a.inProgress[user]++
	return true
}

func (a *agents) end(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inProgress[user]--; a.inProgress[user] == 0 {
		delete(a.inProgress, user)
	}
}

// handleMCP answers a message of the Model Context Protocol.
func handleMCP(rc *requestContext) error {
	ctx, cancel := context.WithTimeout(rc.ctx, mcpTimeout)
	defer cancel()
	if err := rc.admit(ctx, nil, false); err != nil {
		return err
	}
	if err := rc.checkOrigin(); err != nil {
		return err
	}
	if err := rc.authenticated(subjects.User); err != nil {
		return err
	}
	// An agent with a session's token could approve its own calls. Each tool's endpoint is checked for the scopes of the key.
	if rc.caller.apiKey == "" {
		return subjects.Errorf(subjects.CodeForbidden, "/mcp takes an API key, not the token of a session")
	}
	if !rc.g.agents.begin(rc.caller.user) {
		return &subjects.Error{
			Code: subjects.CodeRateLimited, Reason: subjects.ReasonOverloaded, RetryAfter: subjects.RetrySoon,
			Detail: "too many calls of /mcp at the same time",
		}
	}
	defer rc.g.agents.end(rc.caller.user)
	rc.body = body{budgets: &rc.g.budgets, caller: &rc.caller, max: rc.g.config.MaxBody, factor: bodyFactor}
	defer rc.body.release()
	if rc.r.ContentLength > rc.body.max {
		return tooLargeBody(rc.body.max)
	}
	data, err := rc.body.read(rc.w, rc.r)
	if err != nil {
		return err
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		return subjects.Errorf(subjects.CodeInvalid, "batches are not supported: send one JSON-RPC message")
	}
	rc.extendDeadlines(mcpTimeout)
	r := rc.r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(data))
	w := &statusWriter{ResponseWriter: rc.w, status: &rc.status}
	rc.g.agents.handler.Serve(w, r, mcp.Caller{
		Call: func(ctx context.Context, d *subjects.Descriptor, request []byte) ([]byte, error) {
			reply, err := rc.g.forward(ctx, d, nats.Header{mesh.HeaderAuthorization: {"Bearer " + rc.caller.token}}, request, false)
			if err != nil {
				return nil, err
			}
			return reply.Data, nil
		},
		May: func(d *subjects.Descriptor) error { return mesh.MayCall(d, rc.caller.claims) }, Problem: rc.problemOf,
		UserAgent: rc.r.UserAgent(),
	})
	return nil
}

// checkOrigin refuses a request of a page of an origin that is not configured, which may have reached the gateway by DNS rebinding. On this
// machine a page of this machine may call. Programs send no Origin.
func (rc *requestContext) checkOrigin() error {
	origins := rc.r.Header["Origin"]
	if len(origins) == 0 {
		return nil
	}
	allowed := rc.g.config.CORSOrigins
	if len(origins) == 1 {
		if slices.Contains(allowed, origins[0]) || slices.Contains(allowed, "*") {
			return nil
		}
		if u, err := url.Parse(origins[0]); err == nil && isLoopbackHost(u.Hostname()) && isLoopbackHost((&url.URL{Host: rc.r.Host}).Hostname()) {
			return nil
		}
	}
	return subjects.Errorf(subjects.CodeForbidden, "pages of this origin may not call /mcp: add it to gateway.cors_origins")
}

func isLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
