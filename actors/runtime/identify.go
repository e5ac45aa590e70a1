package runtime

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// identify returns the verified caller of a request on subject. The error says why the caller is unknown or may not call d.
func (r *Runtime) identify(ctx context.Context, d *subjects.Descriptor, subject string, h nats.Header) (actors.Caller, error) {
	if h.Get(mesh.HeaderStream) != "" {
		return actors.Caller{}, subjects.Errorf(subjects.CodeForbidden, "a message delivered by a stream is not a request")
	}
	switch kind, name := d.CallerOf(subject); {
	case kind != "":
		if !d.Access.AllowsEnrolled(kind) {
			return actors.Caller{}, subjects.Errorf(subjects.CodeForbidden, "%s %s may not call %s", kind, name, d.Name())
		}
		return actors.Caller{Enrolled: kind, Name: name}, nil
	case name != "":
		return r.identifyService(ctx, d, name, h)
	}
	var c actors.Caller
	if token, ok := strings.CutPrefix(h.Get(mesh.HeaderAuthorization), "Bearer "); ok {
		claims, err := r.Verifier.Verify(ctx, token)
		if err != nil {
			if d.Access.Anyone && subjects.CodeOf(err) == subjects.CodeUnauthenticated {
				// A public endpoint treats an invalid or expired token as anonymous.
				return c, nil
			}
			return c, err
		}
		c = actors.Caller{
			UserID: claims.Subject, SessionID: claims.SessionID, KeyID: claims.KeyID, Roles: claims.Roles, Claims: claims,
		}
		if claims.KeyID != "" {
			c.Authority = mesh.KeyAuthority(claims.KeyID, claims.Scope)
		}
	}
	return c, mayCall(d, c)
}

// mayCall applies the endpoint's access rule to a user or an anonymous caller.
func mayCall(d *subjects.Descriptor, c actors.Caller) error {
	return mesh.MayCall(d, mesh.Claims{Subject: c.UserID, KeyID: c.KeyID, Roles: c.Roles, Scope: c.Claims.Scope})
}

// identifyService returns the caller for a service, which the subject identifies: only its NATS user may publish there.
func (r *Runtime) identifyService(
	ctx context.Context, d *subjects.Descriptor, service string, h nats.Header,
) (actors.Caller, error) {
	if !d.Access.AllowsService(service) {
		return actors.Caller{}, subjects.Errorf(subjects.CodeForbidden, "%s may not call %s", service, d.Name())
	}
	c := actors.Caller{
		Service: service, UserID: h.Get(mesh.HeaderUserID),
		Authority: mesh.Authority{Keys: h.Get(mesh.HeaderKeyIDs), Scopes: h.Get(mesh.HeaderKeyScopes)},
	}
	// What an API key caused is refused as the same call with that key is: by the endpoint's scope.
	if c.Authority.Restricted() {
		if err := r.Keys.Check(ctx, c.UserID, c.Authority, d.Access.KeyScope); err != nil {
			return actors.Caller{}, err
		}
	}
	if !d.Access.NeedsGrant(service) {
		return c, nil
	}
	c.Grant = mesh.Grant{
		UserID: c.UserID, Scope: h.Get(mesh.HeaderGrantScope), ConsentID: h.Get(mesh.HeaderGrantID),
	}
	return c, r.Guard.CheckGrant(ctx, c.Grant)
}
