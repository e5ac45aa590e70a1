package subjects

import (
	"slices"
	"strings"
)

// Consent and key scopes: what a user consents to, and what an API key may be confined to.
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

// ScopeEnroll is the scope of an access token whose user must set up a second factor first: it reaches the endpoints for
// that alone. Nobody consents to it and no API key has it.
const ScopeEnroll = "second_factor.enroll"

// Scopes lists the nine scopes.
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

// Access says who may call an endpoint. The zero value is nobody.
type Access struct {
	// Anyone may call, without identity.
	Anyone bool
	// SignedIn users may call.
	SignedIn bool
	// Role is the role that a user must have besides.
	Role string
	// KeyScope is the scope that a token made from an API key must carry; empty refuses such tokens.
	KeyScope string
	// Enrolling lets also those users call who must set up a second factor before they may do anything else.
	Enrolling bool
	// Services may call as <subject>.as.<service>, on behalf of the user the message names.
	Services []string
	// Grantless are those of Services that need no grant of the user's.
	Grantless []string
}

// Public lets anyone call.
var Public = Access{Anyone: true}

// SignIn lets anyone call, and is told by the access token that may come along which session the client has already.
var SignIn = Access{Anyone: true, SignedIn: true}

// User lets every signed-in user call, though no API key: use Scope for what a key may do.
var User = Access{SignedIn: true}

// Enrolling is User, and lets those call who must set up a second factor first.
var Enrolling = Access{SignedIn: true, Enrolling: true}

// Scope lets every signed-in user call, and API keys that carry the scope.
func Scope(scope string) Access { return Access{SignedIn: true, KeyScope: scope} }

// Role lets users with the role call.
func Role(role string) Access { return Access{SignedIn: true, Role: role} }

// Service lets services call on a user's behalf, under a grant that the responder checks again.
func Service(services ...string) Access { return Access{Services: services} }

// ServiceWithoutGrant lets services call where there is no grant to check: a verification mail, a
// security notice, a question about the grant itself.
func ServiceWithoutGrant(services ...string) Access {
	return Access{Services: services, Grantless: services}
}

// Or lets in who either lets in.
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
	return a
}

// AllowsService tells whether the service may call at all.
func (a Access) AllowsService(service string) bool { return slices.Contains(a.Services, service) }

// NeedsGrant tells whether the service must name a grant of the user's.
func (a Access) NeedsGrant(service string) bool { return !slices.Contains(a.Grantless, service) }

// String renders the rule for the catalogue and `nats micro info`.
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
		who = append(who, "user, also one whose second factor is still to be set up")
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
	return strings.Join(who, "; ")
}
