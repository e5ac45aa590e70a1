package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/weftmesh/weft/subjects"
)

// router returns the handler of all routes: those of the endpoints and the gateway's own.
func (g *Gateway) router(endpoints []*subjects.Descriptor) (_ http.Handler, err error) {
	mux := http.NewServeMux()
	// ServeMux panics if two patterns conflict, which is an error in the declarations.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("registering the routes: %v", p)
		}
	}()
	add := func(method string, op *operation) { mux.HandleFunc(method+" "+op.route, g.serve(op)) }
	for _, d := range endpoints {
		if d.Path == "" {
			continue
		}
		rt, err := g.newRoute(d)
		if err != nil {
			return nil, fmt.Errorf("creating the route of %s: %w", d.Name(), err)
		}
		add(d.HTTPMethod, &operation{name: d.Name(), route: d.Path, handle: rt.handle, secret: hasSecret(d)})
	}
	own, err := g.ownOperations()
	if err != nil {
		return nil, err
	}
	for _, op := range own {
		add(http.MethodGet, op)
	}
	add(http.MethodPost, &operation{name: "gateway.mcp", route: "/mcp", handle: handleMCP})
	mux.HandleFunc(anyPath, g.serve(&operation{name: "gateway.no_route", route: "-", handle: func(rc *requestContext) error {
		return handleUnmatched(rc, mux)
	}}))
	return mux, nil
}

// ownOperations are the gateway's own operations, which no endpoint declares. All are GETs.
func (g *Gateway) ownOperations() ([]*operation, error) {
	ops, err := g.pages()
	if err != nil {
		return nil, err
	}
	for _, a := range aggregates {
		ops = append(ops, &operation{name: a.name, route: a.route, handle: a.handle})
	}
	return append(ops,
		&operation{name: "gateway.gpc_support", route: "/.well-known/gpc.json", handle: handleGPCSupport},
		&operation{name: "gateway.healthz", route: "/healthz", handle: handleHealthz, quiet: true},
		&operation{name: "gateway.readyz", route: "/readyz", handle: g.readiness.handle, quiet: true}), nil
}

// methods are the methods that a route may have, in the order of the Allow header.
var methods = []string{
	http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut,
}

// anyPath is the pattern that matches requests without a route.
const anyPath = "/"

// handleUnmatched answers a request that no route matches: an unknown path, OPTIONS (including a CORS preflight), or a
// method that the path does not support.
func handleUnmatched(rc *requestContext, mux *http.ServeMux) error {
	probe := &http.Request{URL: rc.r.URL, Host: rc.r.Host}
	var allowed []string
	for _, probe.Method = range methods {
		if _, pattern := mux.Handler(probe); pattern != anyPath {
			allowed = append(allowed, probe.Method)
		}
	}
	if len(allowed) == 0 {
		return subjects.Errorf(subjects.CodeNotFound, "no such path; /docs lists all operations")
	}
	allowed = append(allowed, http.MethodOptions)
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	h := rc.w.Header()
	h.Set("Allow", list)
	if rc.r.Method != http.MethodOptions {
		return subjects.Errorf(subjects.CodeMethodNotAllowed, "this path allows %s", list)
	}
	if h.Get("Access-Control-Allow-Origin") != "" && rc.r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", list)
		h.Set("Access-Control-Allow-Headers", corsRequestHeaders()+cloudEventHeaders(rc.r.Header.Get("Access-Control-Request-Headers")))
		h.Set("Access-Control-Max-Age", "600")
	}
	rc.write(http.StatusNoContent, nil, nil)
	return nil
}

// corsRequestHeaders lists the headers that pages of other origins may send: those that the gateway reads itself, and those that
// an endpoint declares.
var corsRequestHeaders = sync.OnceValue(func() string {
	names := []string{
		"Accept", "Authorization", "Baggage", "Content-Type", "Idempotency-Key", "If-None-Match", "If-Range", "Last-Event-ID",
		"Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Range", "Request-Timeout", "Traceparent", "Tracestate", "X-Request-Id",
	}
	for _, d := range subjects.Endpoints() {
		for _, f := range d.Fields {
			if f.In == "header" && f.Header != "Content-Length" {
				names = append(names, f.Header)
			}
		}
		for _, name := range d.Body.Headers {
			if !strings.HasSuffix(name, "-") {
				names = append(names, name)
			}
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return strings.Join(slices.CompactFunc(names, strings.EqualFold), ", ")
})

// cloudEventHeaders returns those of the requested headers that carry attributes of a CloudEvent, each after a comma: extensions
// may have any name.
func cloudEventHeaders(requested string) string {
	var list strings.Builder
	for name := range strings.SplitSeq(requested, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if strings.HasPrefix(name, "ce-") && httpguts.ValidHeaderFieldName(name) {
			list.WriteString(", " + name)
		}
	}
	return list.String()
}

// corsExposedHeaders lists the headers that pages of other origins may read: all that the OpenAPI document describes.
var corsExposedHeaders = sync.OnceValue(func() string { return strings.Join(sortedKeys(responseHeaders()), ", ") })

// setCORSHeaders lets pages of a configured origin read the response. Credentials are not allowed: a page sends the token
// itself.
func (g *Gateway) setCORSHeaders(h http.Header, origin string) {
	if len(g.config.CORSOrigins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if !slices.Contains(g.config.CORSOrigins, origin) && !slices.Contains(g.config.CORSOrigins, "*") {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposedHeaders())
}
