package actors

import (
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
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

// identify verifies who sent a message on subject and whether they may call d.
func (r *Runtime) identify(ctx context.Context, d *subjects.Descriptor, subject string, h nats.Header) (Caller, error) {
	if h.Get(mesh.HeaderStream) != "" {
		return Caller{}, subjects.Errorf(subjects.CodeForbidden, "a message that a stream delivered is no request")
	}
	if service, _ := d.CallerOf(subject); service != "" {
		return r.identifyService(ctx, d, service, h)
	}
	var c Caller
	if token, ok := strings.CutPrefix(h.Get(mesh.HeaderAuthorization), "Bearer "); ok {
		claims, err := r.Verifier.Verify(ctx, token)
		if err != nil {
			// A public endpoint serves whoever comes with a token that has ended, as nobody.
			if d.Access.Anyone && subjects.CodeOf(err) == subjects.CodeUnauthenticated {
				return c, nil
			}
			return c, err
		}
		c = Caller{
			UserID: claims.Subject, SessionID: claims.SessionID, KeyID: claims.KeyID, Roles: claims.Roles, Claims: claims,
		}
	}
	return c, mayCall(d, c)
}

// mayCall applies the endpoint's access rule to a user or to nobody.
func mayCall(d *subjects.Descriptor, c Caller) error {
	a := d.Access
	switch {
	case a.Anyone:
		return nil
	case !a.SignedIn:
		return subjects.Errorf(subjects.CodeForbidden, "%s is for services alone", d.Name())
	case c.UserID == "":
		return subjects.Errorf(subjects.CodeUnauthenticated, "sign in and send the access token as Authorization: Bearer …")
	case c.KeyID == "" && c.Claims.Scope != "" && !a.Enrolling:
		return subjects.Errorf(subjects.CodeForbidden,
			"this account needs a second factor: set one up, then refresh the session")
	case a.Role != "" && !c.HasRole(a.Role):
		return subjects.Errorf(subjects.CodeForbidden, "this needs the role %s", a.Role)
	case c.KeyID != "" && (a.KeyScope == "" || !slices.Contains(strings.Fields(c.Claims.Scope), a.KeyScope)):
		return &subjects.Error{Code: subjects.CodeForbidden, Detail: "the API key does not reach this", Scope: a.KeyScope}
	}
	return nil
}

func (r *Runtime) identifyService(
	ctx context.Context, d *subjects.Descriptor, service string, h nats.Header,
) (Caller, error) {
	if !d.Access.AllowsService(service) {
		return Caller{}, subjects.Errorf(subjects.CodeForbidden, "%s is not for %s", d.Name(), service)
	}
	c := Caller{Service: service, UserID: h.Get(mesh.HeaderUserID)}
	if !d.Access.NeedsGrant(service) {
		return c, nil
	}
	c.Grant = mesh.Grant{
		UserID: c.UserID, Scope: h.Get(mesh.HeaderGrantScope), ConsentID: h.Get(mesh.HeaderGrantID),
	}
	return c, r.Guard.CheckGrant(ctx, c.Grant)
}
