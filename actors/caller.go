package actors

import (
	"context"
	"slices"

	"github.com/weftmesh/weft/mesh"
)

// Caller is who makes a request, as the runtime has verified it. Nothing else says who is calling: not
// a field of the request, not a bare header.
type Caller struct {
	// UserID is the signed-in user, or the user that a service acts for; empty for nobody.
	UserID string
	// SessionID and KeyID are those of the user's token.
	SessionID, KeyID string
	Roles            []string
	// Service is the calling service, from the message's own subject.
	Service string
	// Grant is the consent that a service acts under.
	Grant mesh.Grant
	// Claims are the user's token's.
	Claims mesh.Claims
	// Origin is where the HTTP request came from, for endpoints that ask for it.
	Origin Origin
}

// Origin is where an HTTP request came from, as the gateway says.
type Origin struct{ IP, UserAgent string }

// HasRole tells whether the user has the role.
func (c Caller) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// String names the caller in logs.
func (c Caller) String() string {
	switch {
	case c.Service != "":
		return "service:" + c.Service + "/" + c.UserID
	case c.UserID != "":
		return "user:" + c.UserID
	}
	return "anyone"
}

type callerKey struct{}

// WithCaller puts the caller into ctx.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller that the runtime has verified; the zero Caller is nobody.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
