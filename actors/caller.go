package actors

import (
	"context"
	"slices"

	"github.com/weftmesh/weft/mesh"
)

// Caller is the identity that a request acts for, as verified by the runtime. Handlers must not take identities from a request's
// fields or headers.
type Caller struct {
	// UserID is the user of the access token, or the user for whom a service acts; empty if the caller is anonymous.
	UserID string
	// SessionID and KeyID are the session and the API key of the user's token; at most one of them is set.
	SessionID, KeyID string
	// Roles are the roles of the user's token.
	Roles []string
	// Service is the calling service, from the subject that only its NATS user may publish to; empty for a user's call.
	Service string
	// Enrolled is the kind of the calling enrolled user, subjects.KindExtension or subjects.KindEdge, and Name its name; both empty for others.
	Enrolled, Name string
	// Grant is the consent under which a service acts.
	Grant mesh.Grant
	// Authority restricts what is done for the caller to what an API key may do: the key of the user's token, or the keys that
	// caused what a service does.
	Authority mesh.Authority
	// Claims are the claims of the user's token.
	Claims mesh.Claims
	// Origin is set for endpoints that declare Origin.
	Origin Origin
	// GPC is set if the client's Global Privacy Control is on, for endpoints that declare GPC.
	GPC bool
}

// Origin is the client address and user agent of an HTTP request, from the gateway.
type Origin struct{ IP, UserAgent string }

// HasRole reports whether the caller's token has the role.
func (c Caller) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// String identifies the caller in logs and in idempotency keys.
func (c Caller) String() string {
	switch {
	case c.Enrolled != "":
		return c.Enrolled + ":" + c.Name
	case c.Service != "":
		return "service:" + c.Service + "/" + c.UserID
	case c.UserID != "":
		return "user:" + c.UserID
	}
	return "anyone"
}

type callerKey struct{}

// WithCaller returns ctx with the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the verified caller of a request's context. The zero Caller is anonymous.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
