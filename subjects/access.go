package subjects

import (
	"slices"
	"strings"
)

// Scopes that a user can consent to and that an API key can be restricted to.
const (
	ScopeUserProfileRead        = "user.profile.read"
	ScopeUserProfileWrite       = "user.profile.write"
	ScopeIntegrationsRead       = "integrations.read"
	ScopeIntegrationsConnect    = "integrations.connect"
	ScopeIntegrationsExecute    = "integrations.execute"
	ScopeWorkflowsRead          = "workflows.read"
	ScopeWorkflowsExecute       = "workflows.execute"
	ScopeNotificationsSend      = "notifications.send"
	ScopeNotificationsMarketing = "notifications.marketing"
)

// ScopeEnroll is the scope of an access token whose user must set up a second factor first. It admits only the endpoints for
// that. Users cannot consent to it, and no API key has it.
const ScopeEnroll = "second_factor.enroll"

// Scopes returns all scopes except ScopeEnroll.
func Scopes() []string {
	return []string{
		ScopeUserProfileRead, ScopeUserProfileWrite, ScopeIntegrationsRead, ScopeIntegrationsConnect,
		ScopeIntegrationsExecute, ScopeWorkflowsRead, ScopeWorkflowsExecute, ScopeNotificationsSend,
		ScopeNotificationsMarketing,
	}
}

// Roles.
const (
	RoleUser  = "user"
	RoleAdmin = "admin"
)

// Access says who may call an endpoint. The zero value admits nobody.
type Access struct {
	// Anyone admits calls without identity.
	Anyone bool
	// SignedIn admits signed-in users.
	SignedIn bool
	// Role is the role that a signed-in user must additionally have.
	Role string
	// KeyScope is the scope that a token issued for an API key must have; if empty, such tokens are refused.
	KeyScope string
	// Enrolling also admits users who must set up a second factor before they may do anything else.
	Enrolling bool
	// Services may call on <subject>.as.<service>, on behalf of the user that the message names.
	Services []string
	// Grantless lists those of Services that need no grant from the user.
	Grantless []string
	// Enrolled lists the kinds of enrolled users that may call on <subject>.as.<kind>.<name>, for themselves.
	Enrolled []string
}

// Public admits anyone.
var Public = Access{Anyone: true}

// SignIn admits anyone. If the request carries an access token, the handler learns the client's current session from it.
var SignIn = Access{Anyone: true, SignedIn: true}

// User admits every signed-in user, but no API key; see Scope.
var User = Access{SignedIn: true}

// Enrolling is User, and also admits users who must set up a second factor first.
var Enrolling = Access{SignedIn: true, Enrolling: true}

// Scope admits every signed-in user, and API keys that have the scope.
func Scope(scope string) Access { return Access{SignedIn: true, KeyScope: scope} }

// Role admits users who have the role.
func Role(role string) Access { return Access{SignedIn: true, Role: role} }

// Service admits services on a user's behalf, under a grant that the responder verifies.
func Service(services ...string) Access { return Access{Services: services} }

// ServiceWithoutGrant admits services without a grant, for calls that no consent governs: verification e-mails, security
// notices, or checks of the consent itself.
func ServiceWithoutGrant(services ...string) Access {
	return Access{Services: services, Grantless: services}
}

// EnrolledUsers admits enrolled users of the kinds (KindExtension, KindEdge), for themselves.
func EnrolledUsers(kinds ...string) Access { return Access{Enrolled: kinds} }

// Or returns the union of both rules. If both set Role or KeyScope, the receiver's is used.
func (a Access) Or(b Access) Access {
	a.Anyone = a.Anyone || b.Anyone
	a.SignedIn = a.SignedIn || b.SignedIn
	a.Enrolling = a.Enrolling || b.Enrolling
	if a.Role == "" {
		a.Role = b.Role
	}
	if a.KeyScope == "" {
		a.KeyScope = b.KeyScope
	}
	a.Services = append(slices.Clone(a.Services), b.Services...)
	a.Grantless = append(slices.Clone(a.Grantless), b.Grantless...)
	a.Enrolled = append(slices.Clone(a.Enrolled), b.Enrolled...)
	return a
}

// AllowsService reports whether the service may call.
func (a Access) AllowsService(service string) bool { return slices.Contains(a.Services, service) }

// AllowsEnrolled reports whether enrolled users of the kind may call.
func (a Access) AllowsEnrolled(kind string) bool { return slices.Contains(a.Enrolled, kind) }

// NeedsGrant reports whether the service must name a grant from the user.
func (a Access) NeedsGrant(service string) bool { return !slices.Contains(a.Grantless, service) }

// String describes the rule, for the catalogue and `nats micro info`.
func (a Access) String() string {
	var who []string
	switch {
	case a.Anyone && a.SignedIn:
		who = append(who, "public, signed in or not")
	case a.Anyone:
		who = append(who, "public")
	case a.Role != "":
		who = append(who, "role "+a.Role)
	case a.KeyScope != "":
		who = append(who, "user, or key with "+a.KeyScope)
	case a.Enrolling:
		who = append(who, "user, including during second-factor enrollment")
	case a.SignedIn:
		who = append(who, "user")
	}
	for _, s := range a.Services {
		if a.NeedsGrant(s) {
			who = append(who, "service "+s+" under a grant")
		} else {
			who = append(who, "service "+s)
		}
	}
	for _, kind := range a.Enrolled {
		who = append(who, "enrolled "+kind)
	}
	return strings.Join(who, "; ")
}
