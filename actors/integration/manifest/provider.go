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
	// Auth holds the authentication methods. The first is the default.
	Auth []*AuthMethod
	// Scopes maps the provider's scopes to their descriptions.
	Scopes map[string]string
	Limits []Limit
	// Timeout is that of one attempt; 0 means the operator's default.
	Timeout time.Duration
	Retry   Retry
	// Health is the health probe: a read without input that succeeds if the connection works. Its output identifies the
	// account.
	Health *Action
	// Proxy is an action for requests that no other action covers: any method and any path below the base URL.
	Proxy *Action
	// Actions are sorted by id.
	Actions []*Action
	// Webhook describes the provider's webhooks; nil if it has none that can be verified.
	Webhook *Webhook

	byID     map[string]*Action
	settings *schema
	baseURL  *tree
	baseURLs map[string]*tree
	hosts    []*tree
	headers  *tree
	success  *tree
	errors   errorRules
	// brackets means that the provider's forms name nested members a[b], as at least one action does.
	brackets bool
}

// Action returns the action with an id.
func (p *Provider) Action(id string) (*Action, bool) {
	a, ok := p.byID[id]
	return a, ok
}

// AuthMethod returns the authentication method with an id; "" means the default.
func (p *Provider) AuthMethod(id string) (*AuthMethod, bool) {
	for _, method := range p.Auth {
		if id == "" || method.ID == id {
			return method, true
		}
	}
	return nil, false
}

// AuthMethod is a compiled AuthSpec.
type AuthMethod struct {
	ID    string
	Kind  AuthKind
	Title string
	// Help tells a user how to obtain the credentials.
	Help string
	// Credentials is the JSON Schema of the credentials. Fields that it does not mark `writeOnly: false` are secret.
	Credentials map[string]any
	// OAuth2 is set for the kinds oauth2 and client_credentials only.
	OAuth2 *OAuth2

	provider *Provider
	oauth    *oauth
	sigv4    *sigv4
	schema   *schema
	// public holds the names of the credentials that are not secret.
	public             map[string]bool
	in                 string
	name, value        *tree
	username, password *tree
}

// Connection holds the properties of a connection that a call depends on. This package does not modify it.
type Connection struct {
	// Auth is the id of the AuthMethod; "" means the default.
	Auth string
	// Settings and Credentials must satisfy the provider's schemas; see Provider.ValidateConnection.
	Settings, Credentials map[string]any
	// BaseURL replaces the manifest's base URLs if it is not empty, for a sandbox or a mock. Requests are then confined to
	// its host.
	BaseURL string
}

// Call holds the parameters of one call of an action.
type Call struct {
	// Input must satisfy the action's schema; see Action.ValidateInput.
	Input map[string]any
	// At is the time of the call, for signatures; zero means now.
	At time.Time
	// Object returns the object with a key; nil if no object store is available.
	Object func(key string) (*Object, error)
	// Before holds the outputs of the action's steps, by their ids.
	Before map[string]any
	// IdempotencyKey is sent to providers that accept one. It must be the same for each attempt; "" means none.
	IdempotencyKey string
}

// Action is a compiled ActionSpec.
type Action struct {
	ID, Title, Description, Docs string
	Scopes                       []string
	// Input is the JSON Schema of the input. Fields with a default are not required in it.
	Input map[string]any
	// Example is a valid input; nil if there is none.
	Example map[string]any
	// OutputSchema is the JSON Schema of the output; nil if the manifest declares none. It is not enforced. That of a paginated
	// action includes NextCursorField.
	OutputSchema any
	// Method and Path are as written, for display; either may be an expression.
	Method, Path string
	// Safety is as declared, or "" if it depends on the input; see Request.Safety.
	Safety egress.Safety
	// Paginated reports whether NextPage may return another page.
	Paginated bool
	// Cursor is the field of the input that takes a page's cursor, which the previous page's output has as NextCursorField; "" if
	// the action is not paginated.
	Cursor string
	// Before are the requests to make first, in this order.
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
	defaults          map[string]*tree
}

// Step is a request that precedes an action's own. Later requests refer to its output by its ID. Steps have no lasting effect
// without the action's own request, and may be repeated.
type Step struct {
	ID string
	*Action
}

// Provider returns the provider of the action.
func (a *Action) Provider() *Provider { return a.provider }

// ValidateInput returns nil, or an *InputError with a JSON pointer for each invalid field.
func (a *Action) ValidateInput(input map[string]any) error {
	plain, err := normalize(orEmpty(input))
	if err != nil {
		return &InputError{Fields: []FieldError{{Message: "is not JSON"}}}
	}
	return a.input.validate(plain, "")
}

// ValidateConnection returns nil, or an *InputError whose pointers begin with /auth, /settings or /credentials. Its messages
// do not contain values.
func (p *Provider) ValidateConnection(c Connection) error {
	method, ok := p.AuthMethod(c.Auth)
	if !ok {
		return &InputError{Fields: []FieldError{{Pointer: "/auth", Message: "is not an authentication method of the provider"}}}
	}
	found := &InputError{}
	for _, part := range []struct {
		schema *schema
		value  map[string]any
		base   string
	}{{p.settings, c.Settings, "/settings"}, {method.schema, c.Credentials, "/credentials"}} {
		plain, err := normalize(orEmpty(part.value))
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

// ValidateSettings validates settings before there are credentials. The settings named in coming may be missing: a token
// response will provide them.
func (p *Provider) ValidateSettings(settings map[string]any, coming []string) error {
	plain, err := normalize(orEmpty(settings))
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
