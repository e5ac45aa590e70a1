package manifest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// Provider is a compiled manifest. It is immutable and safe for concurrent use.
type Provider struct {
	ID, Name, Description, Category, Docs string
	// Settings is the JSON Schema of a connection's settings.
	Settings map[string]any
	// Auth holds the ways to authenticate, the usual one first.
	Auth   []*AuthMethod
	Scopes map[string]string
	Limits []Limit
	// Timeout of one attempt; 0 means the operator's default.
	Timeout time.Duration
	Retry   Retry
	// Health is the probe: a read without input that says whether a connection works. Its output tells
	// whose account it is.
	Health *Action
	// Proxy sends what no action covers: any method to any path below the base URL.
	Proxy *Action
	// Actions are sorted by id.
	Actions []*Action
	// Webhook is how the provider delivers events; nil where it does not, or not so that they can be verified.
	Webhook *Webhook

	byID     map[string]*Action
	settings *schema
	baseURL  *tree
	baseURLs map[string]*tree
	hosts    []*tree
	headers  *tree
	success  *tree
	errors   errorRules
}

// Action finds an action by id.
func (p *Provider) Action(id string) (*Action, bool) {
	a, ok := p.byID[id]
	return a, ok
}

// AuthMethod finds a way to authenticate by id; "" is the usual one.
func (p *Provider) AuthMethod(id string) (*AuthMethod, bool) {
	for _, method := range p.Auth {
		if id == "" || method.ID == id {
			return method, true
		}
	}
	return nil, false
}

// AuthMethod is one way to authenticate.
type AuthMethod struct {
	ID    string
	Kind  AuthKind
	Title string
	// Help says how a user gets the credentials.
	Help string
	// Credentials is their JSON Schema. What it does not mark `writeOnly: false` is secret.
	Credentials map[string]any
	// OAuth2 is set for the kinds oauth2 and client_credentials alone.
	OAuth2 *OAuth2

	provider           *Provider
	oauth              *oauth
	sigv4              *sigv4
	schema             *schema
	public             map[string]bool
	in                 string
	name, value        *tree
	username, password *tree
}

// Connection is what a user's link to a provider account brings to a call. It is only read.
type Connection struct {
	// Auth is the AuthMethod's id; "" is the usual one.
	Auth string
	// Settings and Credentials satisfy the provider's schemas; see Provider.ValidateConnection.
	Settings, Credentials map[string]any
	// BaseURL, when the operator set one, stands in for the manifest's: a sandbox or a mock. Requests are then
	// confined to its host.
	BaseURL string
}

// Call is one use of an action.
type Call struct {
	// Input satisfies the action's schema; see Action.ValidateInput.
	Input map[string]any
	// At is when the call is made, which a signature tells; zero is now.
	At time.Time
	// Object finds an object that the input refers to by its key; nil where there are none.
	Object func(key string) (*Object, error)
	// Before is what the action's steps yielded, by their ids.
	Before map[string]any
	// IdempotencyKey is handed to providers that take one, the same for every attempt; "" is none.
	IdempotencyKey string
}

// Action is one compiled operation of a provider.
type Action struct {
	ID, Title, Description, Docs string
	Scopes                       []string
	// Input is the JSON Schema that an input must satisfy.
	Input   map[string]any
	Example map[string]any
	// OutputSchema is what the manifest promises of the output; nil where it promises nothing.
	OutputSchema any
	// Method and Path are for people: either may be an expression.
	Method, Path string
	// Safety is the declared one, or "" where the input decides; Request tells which it is then.
	Safety egress.Safety
	// Paginated reports that NextPage can go on.
	Paginated bool
	// Before are the requests that come first, in their order.
	Before []Step

	provider          *Provider
	timeout           time.Duration
	input             *schema
	method            *tree
	object            *tree
	url, baseURL      *tree
	path              pathTemplate
	query, headers    *tree
	xml               bool
	answer            *tree
	body              *body
	safety            *tree
	idempotencyHeader string
	success           *tree
	errors            errorRules
	limits            []Limit
	readings          map[string]limitTrees
	output            *tree
	items, next       *tree
}

// Step is a request that is made before an action's own, which sees what it yields by its ID. It does nothing that counts
// until the action's own request is made, and so may be made again.
type Step struct {
	ID string
	*Action
}

// Provider is the one the action belongs to.
func (a *Action) Provider() *Provider { return a.provider }

// ValidateInput returns nil, or an *InputError whose pointers name the fields.
func (a *Action) ValidateInput(input map[string]any) error {
	plain, err := normal(orEmpty(input))
	if err != nil {
		return &InputError{Fields: []FieldError{{Message: "is not JSON"}}}
	}
	return a.input.validate(plain, "")
}

// ValidateConnection returns nil, or an *InputError whose pointers begin with /auth, /settings or
// /credentials. Its messages hold no value.
func (p *Provider) ValidateConnection(c Connection) error {
	method, ok := p.AuthMethod(c.Auth)
	if !ok {
		return &InputError{Fields: []FieldError{{Pointer: "/auth", Message: "is not a way to authenticate here"}}}
	}
	found := &InputError{}
	for _, part := range []struct {
		schema *schema
		value  map[string]any
		base   string
	}{{p.settings, c.Settings, "/settings"}, {method.schema, c.Credentials, "/credentials"}} {
		plain, err := normal(orEmpty(part.value))
		if err != nil {
			found.Fields = append(found.Fields, FieldError{Pointer: part.base, Message: "is not JSON"})
			continue
		}
		var failed *InputError
		if errors.As(part.schema.validate(plain, part.base), &failed) {
			found.Fields = append(found.Fields, failed.Fields...)
		}
	}
	if len(found.Fields) > 0 {
		return found
	}
	return nil
}

// ValidateSettings is ValidateConnection for settings alone; those that are still to come may be absent.
func (p *Provider) ValidateSettings(settings map[string]any, coming []string) error {
	plain, err := normal(orEmpty(settings))
	if err != nil {
		return &InputError{Fields: []FieldError{{Pointer: "/settings", Message: "is not JSON"}}}
	}
	var failed *InputError
	if !errors.As(p.settings.validate(plain, "/settings"), &failed) {
		return nil
	}
	failed.Fields = slices.DeleteFunc(failed.Fields, func(f FieldError) bool {
		return f.missing && slices.Contains(coming, strings.TrimPrefix(f.Pointer, "/settings/"))
	})
	if len(failed.Fields) == 0 {
		return nil
	}
	return failed
}

func orEmpty(object map[string]any) map[string]any {
	if object == nil {
		return map[string]any{}
	}
	return object
}
