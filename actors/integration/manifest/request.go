package manifest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// Request is the HTTP request of a call, for egress.Client.Do.
type Request struct {
	egress.Request
	// Safety says whether the request may be repeated. It is the action's for this input; a write_once action is Idempotent
	// if the provider accepts an idempotency key and the call has one.
	Safety egress.Safety
	// Host is the host of the first hop, with its port if the URL has one. It is the key of the circuit breaker.
	Host string
	// ToObject means that the response is to be stored as an object if it is a success; see Action.Delivers.
	ToObject bool
}

// Request builds the HTTP request of a call. The input and the connection must be valid.
//
// The error is an *InputError for an input field that cannot be part of a path, an unchanged error of call.Object, or a
// *BuildError if the connection's settings or the manifest do not yield a valid request.
func (a *Action) Request(conn Connection, call Call) (*Request, error) {
	root, err := requestRoot(conn, call)
	if err != nil {
		return nil, a.buildError(conn, err)
	}
	s := newScope(root, maxRequestValue)
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

// BuildError is the error of a request that could not be built. Its text contains no credentials.
type BuildError struct {
	Provider, Action string
	message          string
}

func (e *BuildError) Error() string {
	return fmt.Sprintf("building %s request %s: %s", e.Provider, e.Action, e.message)
}

// requestRoot returns the input of a request's expressions.
func requestRoot(conn Connection, call Call) (map[string]any, error) {
	root := map[string]any{}
	for name, value := range map[string]map[string]any{
		"input": call.Input, "settings": conn.Settings, "credentials": conn.Credentials, "before": call.Before,
	} {
		plain, err := normalize(orEmpty(value))
		if err != nil {
			return nil, err
		}
		root[name] = plain
	}
	return root, nil
}

// describeObject adds the properties of the action's object to the input of its expressions.
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
		return nil, fmt.Errorf("unknown authentication method %q", conn.Auth)
	}
	r := &Request{Request: egress.Request{Header: http.Header{"Accept": {"application/json"}}, Timeout: a.attemptTimeout()}}
	if a.xml {
		r.Header.Set("Accept", "application/xml")
	}
	u, err := a.address(s, conn, r)
	if err != nil {
		return nil, err
	}
	if err := a.setMethod(s, call, r); err != nil {
		return nil, err
	}
	answer, err := a.answer.evalString(s)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if r.ToObject = answer == AnswerObject; r.ToObject {
		r.Header.Set("Accept", "*/*")
	}
	header, err := a.ownHeaders(s)
	if err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	body, err := a.body.encode(s, header.Get("Content-Type"), call.Object)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	body.setBody(r)
	if body.ownType {
		header.Del("Content-Type")
	}
	maps.Copy(r.Header, header)
	if a.timeout == 0 && (r.ToObject || r.Source != nil) {
		r.Timeout = max(r.Timeout, objectTimeout)
	}
	if a.url != nil {
		r.URL, r.Host = u.String(), u.Host
		return r, nil
	}
	if a.idempotencyHeader != "" && call.IdempotencyKey != "" {
		r.Header.Set(a.idempotencyHeader, call.IdempotencyKey)
	}
	query, err := a.queryValues(s)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if err := method.apply(s, r, query); err != nil {
		return nil, err
	}
	u.RawQuery = query.Encode()
	if err := method.sign(s, r, u, body, conn, call.At); err != nil {
		return nil, err
	}
	r.URL, r.Host = u.String(), u.Host
	return r, nil
}

// queryValues evaluates the query; empty if the action has none.
func (a *Action) queryValues(s *scope) (url.Values, error) {
	value, present, err := a.query.eval(s)
	if err != nil || !present {
		return url.Values{}, err
	}
	return textValues(value)
}

// objectTimeout is the least timeout of an attempt that sends or receives an object, unless the action declares one.
const objectTimeout = 2 * time.Minute

func (a *Action) attemptTimeout() time.Duration {
	if a.timeout > 0 {
		return a.timeout
	}
	return a.provider.Timeout
}

// address returns the URL of the request without its query, and sets the hosts to which the request is confined.
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
		return nil, fmt.Errorf("the base URL is not within the provider's hosts")
	}
	if a.url != nil {
		return a.returnedURL(s, r)
	}
	path, err := a.path.eval(s)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	escaped := strings.TrimSuffix(base.EscapedPath(), "/") + path
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, fmt.Errorf("path: invalid percent-encoding")
	}
	return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: plain, RawPath: escaped}, nil
}

// returnedURL returns a URL that a response of the provider contained. Such URLs carry their own authorization, so that the
// credentials are removed from the input of the request's expressions.
func (a *Action) returnedURL(s *scope, r *Request) (*url.URL, error) {
	s.root["credentials"] = map[string]any{}
	text, err := a.url.evalString(s)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the URL that the provider returned is not an http or https URL")
	}
	if !egress.HostAllowed(r.Hosts, u) {
		return nil, errors.New("the URL that the provider returned is not within its hosts")
	}
	return u, nil
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// setMethod sets the method and the safety of the request. A safety that is neither read nor idempotent is write_once.
func (a *Action) setMethod(s *scope, call Call, r *Request) error {
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

// ownHeaders evaluates the provider's headers and the action's. A request to an address that the provider returned has only its own.
func (a *Action) ownHeaders(s *scope) (http.Header, error) {
	header := http.Header{}
	if a.url == nil {
		if err := addHeaders(s, a.provider.headers, header); err != nil {
			return nil, err
		}
	}
	return header, addHeaders(s, a.headers, header)
}

// addHeaders evaluates headers and sets them, replacing those of the same name.
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
