package mesh

import (
	"slices"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// MayCall applies an endpoint's access rule to the claims of a verified access token; the zero Claims are an anonymous caller. The
// error is CodeUnauthenticated or CodeForbidden. The gateway applies it before it reads a request, and the actor when it answers.
func MayCall(d *subjects.Descriptor, c Claims) error {
	a := d.Access
	switch {
	case a.Anyone:
		return nil
	case !a.SignedIn:
		return subjects.Errorf(subjects.CodeForbidden, "%s is for services only", d.Name())
	case c.Subject == "":
		return subjects.Errorf(subjects.CodeUnauthenticated, "sign in and send the access token as Authorization: Bearer …")
	case c.KeyID == "" && c.Scope != "" && !a.Enrolling:
		return subjects.Errorf(subjects.CodeForbidden,
			"this account needs a second factor: set one up, then refresh the session")
	case a.Role != "" && !slices.Contains(c.Roles, a.Role):
		return subjects.Errorf(subjects.CodeForbidden, "the role %s is required", a.Role)
	case c.KeyID != "" && (a.KeyScope == "" || !slices.Contains(strings.Fields(c.Scope), a.KeyScope)):
		return &subjects.Error{Code: subjects.CodeForbidden, Detail: "the API key lacks the scope", Scope: a.KeyScope}
	}
	return nil
}
