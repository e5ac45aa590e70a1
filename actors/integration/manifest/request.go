package manifest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// Request is one attempt described: what to hand to egress.Client.Do, and what repeating it may do.
type Request struct {
	egress.Request
	// Safety is the action's for this input. An action that must not run twice is Idempotent here when the
	// provider takes a key and there is one.
	Safety egress.Safety
	// Host is the first hop's host with its port when it names one: the breaker's key.
	Host string
	// ToObject says that the answer, where it is good, is a file to be kept; see Action.Delivers.
	ToObject bool
}

// Request describes the call. The input must have been validated; the connection too.
//
// An *InputError is the caller's: a field that cannot stand in a path. What call.Object says comes back as it is. Any other
// error is a *BuildError: the connection's settings or the manifest do not yield a request.
func (a *Action) Request(conn Connection, call Call) (*Request, error) {
	root, err := requestRoot(conn, call)
	if err != nil {
		return nil, a.buildError(conn, err)
	}
	s, end := newScope(root, maxRequestValue)
	defer end()
	var r *Request
	if err = a.describeObject(s, call); err == nil {
		r, err = a.build(s, conn, call)
	}
	if err == nil {
		return r, nil
	}
	var field *InputError
	if errors.As(err, &field) {
		return nil, field
	}
	var object objectError
	if errors.As(err, &object) {
		return nil, object.error
	}
	return nil, a.buildError(conn, err)
}

func (a *Action) buildError(conn Connection, err error) *BuildError {
	return &BuildError{Provider: a.provider.ID, Action: a.ID, message: a.provider.secretsOf(conn).redact(err.Error())}
}

// BuildError is a request that could not be described. Its text holds no credential.
type BuildError struct {
	Provider, Action string
	message          string
}

func (e *BuildError) Error() string {
	return fmt.Sprintf("building %s request %s: %s", e.Provider, e.Action, e.message)
}

func requestRoot(conn Connection, call Call) (map[string]any, error) {
	root := map[string]any{}
	for name, value := range map[string]map[string]any{
		"input": call.Input, "settings": conn.Settings, "credentials": conn.Credentials, "before": call.Before,
	} {
		plain, err := normal(orEmpty(value))
		if err != nil {
			return nil, err
		}
		root[name] = plain
	}
	return root, nil
}

// describeObject has the expressions see the object that the action names.
func (a *Action) describeObject(s *scope, call Call) error {
	o, err := findObject(s, a.object, call.Object)
	if err != nil {
		return fmt.Errorf("object: %w", err)
	}
	if o != nil {
		s.root["object"] = map[string]any{"name": o.Name, "content_type": o.ContentType, "size": float64(o.Size), "sha256": o.SHA256}
	}
	return nil
}

func (a *Action) build(s *scope, conn Connection, call Call) (*Request, error) {
	method, ok := a.provider.AuthMethod(conn.Auth)
	if !ok {
		return nil, fmt.Errorf("there is no way to authenticate called %q", conn.Auth)
	}
	r := &Request{Request: egress.Request{Header: http.Header{"Accept": {"application/json"}}, Timeout: a.attemptTimeout()}}
	if a.xml {
		r.Header.Set("Accept", "application/xml")
	}
	u, err := a.address(s, conn, r)
	if err != nil {
		return nil, err
	}
	if err := a.verb(s, call, r); err != nil {
		return nil, err
	}
	answer, err := a.answer.evalString(s)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if r.ToObject = answer == AnswerObject; r.ToObject {
		r.Header.Set("Accept", "*/*")
	}
	body, err := a.body.encode(s, call.Object)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	body.into(r)
	if a.timeout == 0 && (r.ToObject || r.Source != nil) {
		r.Timeout = max(r.Timeout, objectTimeout)
	}
	if a.url != nil {
		if err := addHeaders(s, a.headers, r.Header); err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
		r.URL, r.Host = u.String(), u.Host
		return r, nil
	}
	for _, headers := range []*tree{a.provider.headers, a.headers} {
		if err := addHeaders(s, headers, r.Header); err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
	}
	query := url.Values{}
	if value, present, err := a.query.eval(s); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	} else if present {
		if query, err = textValues(value); err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
	}
	if a.idempotencyHeader != "" && call.IdempotencyKey != "" {
		r.Header.Set(a.idempotencyHeader, call.IdempotencyKey)
	}
	if err := method.apply(s, r, query); err != nil {
		return nil, err
	}
	u.RawQuery = query.Encode()
	if method.sigv4 != nil {
		at := call.At
		if at.IsZero() {
			at = time.Now()
		}
		digest, err := body.digest()
		if err != nil {
			return nil, err
		}
		if err := method.sigv4.sign(s, r, u, digest, conn.Credentials, at); err != nil {
			return nil, err
		}
	}
	r.URL, r.Host = u.String(), u.Host
	return r, nil
}

// objectTimeout is what an attempt may take that sends or yields a file, where its manifest does not say.
const objectTimeout = 2 * time.Minute

func (a *Action) attemptTimeout() time.Duration {
	if a.timeout > 0 {
		return a.timeout
	}
	return a.provider.Timeout
}

// address is base URL and path, and confines the request to its hosts.
func (a *Action) address(s *scope, conn Connection, r *Request) (*url.URL, error) {
	text := conn.BaseURL
	if text == "" {
		var err error
		if text, err = a.baseURL.evalString(s); err != nil {
			return nil, fmt.Errorf("base URL: %w", err)
		}
	}
	base, err := parseBase(text)
	if err != nil {
		return nil, err
	}
	if conn.BaseURL == "" {
		if r.Hosts, err = a.provider.hostPatterns(s); err != nil {
			return nil, err
		}
	}
	if len(r.Hosts) == 0 {
		r.Hosts = []string{base.Host}
	}
	if !egress.HostAllowed(r.Hosts, base) {
		return nil, fmt.Errorf("the base URL's host is not one of the provider's")
	}
	if a.url != nil {
		return a.answered(s, r)
	}
	path, err := a.path.eval(s)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	escaped := strings.TrimSuffix(base.EscapedPath(), "/") + path
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, fmt.Errorf("path: not percent-encoded properly")
	}
	return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: plain, RawPath: escaped}, nil
}

// answered is an address that the provider gave. It is a key in itself: what is sent there has none of the connection's
// credentials, and neither header nor body can name them.
func (a *Action) answered(s *scope, r *Request) (*url.URL, error) {
	s.root["credentials"] = map[string]any{}
	text, err := a.url.evalString(s)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the address that the provider gave is not an http address")
	}
	if !egress.HostAllowed(r.Hosts, u) {
		return nil, errors.New("the address that the provider gave is not one of its hosts'")
	}
	return u, nil
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// verb sets the method and what repeating it may do.
func (a *Action) verb(s *scope, call Call, r *Request) error {
	var err error
	if r.Method, err = a.method.evalString(s); err != nil {
		return fmt.Errorf("method: %w", err)
	}
	if !slices.Contains(methods, r.Method) {
		return fmt.Errorf("method: must be one of %s", strings.Join(methods, ", "))
	}
	safety, err := a.safety.evalString(s)
	if err != nil {
		return fmt.Errorf("safety: %w", err)
	}
	switch r.Safety = egress.Safety(safety); r.Safety {
	case egress.Read, egress.Idempotent:
	default:
		r.Safety = egress.WriteOnce
		if a.idempotencyHeader != "" && call.IdempotencyKey != "" {
			r.Safety = egress.Idempotent
		}
	}
	return nil
}

func addHeaders(s *scope, headers *tree, into http.Header) error {
	value, present, err := headers.eval(s)
	if err != nil || !present {
		return err
	}
	values, err := headerValues(value)
	if err != nil {
		return err
	}
	for name, texts := range values {
		into[http.CanonicalHeaderKey(name)] = texts
	}
	return nil
}
