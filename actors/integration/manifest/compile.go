package manifest

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// Load parses and compiles a manifest. A non-nil error is Faults.
func Load(source []byte) (*Provider, error) {
	m, err := Parse(source)
	if err != nil {
		return nil, err
	}
	return Compile(m)
}

// Compile checks what the JSON Schema of manifests cannot: expressions and schemas compile, path parameters are required
// fields of the input, references to scopes, actions and base URLs resolve, examples satisfy their schemas, and literal
// base URLs are within the hosts. A non-nil error is Faults.
func Compile(m *Manifest) (*Provider, error) {
	return compile(m, false)
}

func compile(m *Manifest, trusted bool) (*Provider, error) {
	c := &compiler{manifest: m, trusted: trusted}
	p := c.provider()
	if err := c.faults.asError(); err != nil {
		return nil, err
	}
	return p, nil
}

type compiler struct {
	manifest *Manifest
	faults   Faults
	// placed are the expressions, for checks that need the whole provider.
	placed []placed
	// trusted skips checks that the manifest is known to pass, and defers the compilation of expressions and schemas to
	// their first use.
	trusted bool
}

func (c *compiler) fault(pointer, format string, args ...any) {
	c.faults = append(c.faults, c.manifest.positions.at(pointer, format, args...))
}

// optional compiles a string that may be absent; nil if it is empty.
func (c *compiler) optional(text, pointer string) *tree {
	if text == "" {
		return nil
	}
	return c.value(text, pointer)
}

// object compiles the schema of an object; the default is an object without fields.
func (c *compiler) object(document map[string]any, pointer string) objectSchema {
	if document == nil {
		return noFields
	}
	o := closed(document)
	o.check.trusted = c.trusted
	if !c.trusted {
		if err := o.check.compile(); err != nil {
			c.fault(pointer, "is not a valid JSON Schema: %v", err)
		}
	}
	return o
}

func (c *compiler) provider() *Provider {
	m := c.manifest
	p := &Provider{
		ID: m.ID, Name: m.Name, Description: m.Description, Category: m.Category, Docs: m.Docs,
		Scopes: m.Scopes, Limits: m.Limits, Timeout: time.Duration(m.Timeout), Retry: m.Retry,
		baseURL: c.optional(m.BaseURL, "/base_url"),
		headers: c.tree(m.Headers, "/headers"),
		success: c.optional(m.Success, "/success"),
		errors:  c.errors(m.Errors, "/errors"),
		byID:    make(map[string]*Action, len(m.Actions)), baseURLs: make(map[string]*tree, len(m.BaseURLs)),
	}
	settings := c.object(m.Settings, "/settings")
	p.Settings, p.settings = settings.document, settings.check
	for i, host := range m.Hosts {
		p.hosts = append(p.hosts, c.value(host, pointerTo("/hosts", strconv.Itoa(i))))
	}
	c.address(m.BaseURL, "/base_url")
	for _, name := range slices.Sorted(maps.Keys(m.BaseURLs)) {
		at := pointerTo("/base_urls", name)
		c.address(m.BaseURLs[name], at)
		p.baseURLs[name] = c.optional(m.BaseURLs[name], at)
	}
	for i, spec := range m.Auth {
		pointer := pointerTo("/auth", strconv.Itoa(i))
		if slices.ContainsFunc(m.Auth[:i], func(other AuthSpec) bool { return other.ID == spec.ID }) {
			c.fault(pointerTo(pointer, "id"), "duplicate authentication method %s", spec.ID)
		}
		p.Auth = append(p.Auth, c.auth(p, spec, pointer))
	}
	for _, id := range slices.Sorted(maps.Keys(m.Actions)) {
		a := c.action(p, id, m.Actions[id], pointerTo("/actions", id))
		p.Actions = append(p.Actions, a)
		p.byID[id] = a
	}
	health := m.Health
	health.Title, health.Safety = "Health probe", string(egress.Read)
	p.Health = c.action(p, "health_probe", health, "/health")
	p.Proxy = proxyOf(p)
	c.limits(p)
	p.Webhook = c.webhook()
	c.unknownFields(p)
	return p
}

// address checks a literal base URL. A base URL that is an expression is checked when it is evaluated.
func (c *compiler) address(text, pointer string) {
	m := c.manifest
	if isExpression(text) {
		return
	}
	base, err := parseBase(text)
	if err != nil {
		c.fault(pointer, "%v", err)
		return
	}
	if len(m.Hosts) > 0 && !slices.ContainsFunc(m.Hosts, isExpression) && !egress.HostAllowed(m.Hosts, base) {
		c.fault(pointer, "%s is not within hosts", base.Host)
	}
}

// host returns the base URL that an action's host names.
func (c *compiler) host(p *Provider, name, pointer string) *tree {
	if name == "" {
		return p.baseURL
	}
	if _, ok := c.manifest.BaseURLs[name]; !ok {
		c.fault(pointer, "unknown base URL %s", name)
	}
	return p.baseURLs[name]
}

// parseBase parses a base URL: an absolute http or https URL of a scheme, host and path only, without dot segments.
func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil || base.Hostname() == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("the base URL is not an http or https URL")
	}
	if base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" || base.Opaque != "" {
		return nil, fmt.Errorf("the base URL must have only a scheme, host and path")
	}
	for segment := range strings.SplitSeq(base.Path, "/") {
		if segment == ".." || segment == "." {
			return nil, fmt.Errorf("the base URL has dot segments")
		}
	}
	return base, nil
}

func (c *compiler) action(p *Provider, id string, spec ActionSpec, pointer string) *Action {
	a := &Action{
		ID: id, Title: spec.Title, Description: spec.Description, Docs: spec.Docs, Scopes: spec.Scopes,
		Example: spec.Example, OutputSchema: spec.OutputSchema, Method: spec.Method, Path: spec.Path,
		provider: p, timeout: time.Duration(spec.Timeout), idempotencyHeader: spec.IdempotencyHeader,
		method:  c.optional(spec.Method, pointerTo(pointer, "method")),
		query:   c.tree(spec.Query, pointerTo(pointer, "query")),
		headers: c.tree(spec.Headers, pointerTo(pointer, "headers")),
		safety:  c.optional(spec.Safety, pointerTo(pointer, "safety")),
		success: c.optional(spec.Success, pointerTo(pointer, "success")),
		errors:  c.errors(spec.Errors, pointerTo(pointer, "errors")),
		output:  c.tree(spec.Output, pointerTo(pointer, "output")),
	}
	if !isExpression(spec.Safety) {
		a.Safety = egress.Safety(spec.Safety)
	}
	a.baseURL, a.xml = c.host(p, spec.Host, pointerTo(pointer, "host")), spec.Answer == AnswerXML
	a.object = c.optional(spec.Object, pointerTo(pointer, "object"))
	a.answer = c.optional(spec.Answer, pointerTo(pointer, "answer"))
	input := c.object(spec.Input, pointerTo(pointer, "input"))
	a.Input, a.input = input.document, input.check
	if a.url = c.optional(spec.URL, pointerTo(pointer, "url")); a.url == nil {
		a.path = c.path(spec, pointer)
	}
	c.defaults(a, spec, pointerTo(pointer, "defaults"))
	a.Before = c.steps(p, a, spec, pointerTo(pointer, "before"))
	if spec.Body != nil {
		a.body = c.body(*spec.Body, pointerTo(pointer, "body"))
		p.brackets = p.brackets || a.body.brackets
	}
	c.pagination(a, spec, pointerTo(pointer, "pagination"))
	for i, scope := range spec.Scopes {
		if _, ok := p.Scopes[scope]; !ok {
			c.fault(pointerTo(pointer, "scopes", strconv.Itoa(i)), "scope %s is not declared in scopes", scope)
		}
	}
	if !c.trusted {
		c.examples(a, spec, pointer)
	}
	return a
}

// steps compiles the requests made before an action's own. Their expressions see the action's input and object.
func (c *compiler) steps(p *Provider, a *Action, spec ActionSpec, pointer string) []Step {
	var steps []Step
	for i, step := range spec.Before {
		at := pointerTo(pointer, strconv.Itoa(i))
		if slices.ContainsFunc(steps, func(other Step) bool { return other.ID == step.ID }) {
			c.fault(pointerTo(at, "id"), "duplicate step %s", step.ID)
		}
		step.Input, step.Object, step.Safety = spec.Input, spec.Object, string(egress.Idempotent)
		steps = append(steps, Step{ID: step.ID, Action: c.action(p, a.ID+"."+step.ID, step.ActionSpec, at)})
	}
	return steps
}

// examples checks an action's output schema, and its example against the input schema.
func (c *compiler) examples(a *Action, spec ActionSpec, pointer string) {
	if spec.OutputSchema != nil {
		if err := (&schema{document: spec.OutputSchema}).compile(); err != nil {
			c.fault(pointerTo(pointer, "output_schema"), "is not a valid JSON Schema: %v", err)
		}
	}
	if spec.Example == nil || a.input.compile() != nil {
		return
	}
	var failed *InputError
	if errors.As(a.input.validate(any(spec.Example), ""), &failed) {
		for _, field := range failed.Fields {
			c.fault(pointerTo(pointer, "example")+field.Pointer, "%s", field.Message)
		}
	}
}

func (c *compiler) errors(spec ErrorsSpec, pointer string) errorRules {
	r := errorRules{
		code:       c.optional(spec.Code, pointerTo(pointer, "code")),
		message:    c.optional(spec.Message, pointerTo(pointer, "message")),
		retryAfter: c.optional(spec.RetryAfter, pointerTo(pointer, "retry_after")),
	}
	for i, rule := range spec.Rules {
		r.rules = append(r.rules, errorRule{
			class: rule.Class, status: rule.Status, expired: rule.Expired,
			when: c.optional(rule.When, pointerTo(pointer, "rules", strconv.Itoa(i), "when")),
		})
	}
	return r
}
