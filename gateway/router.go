package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// router lays out every route: the endpoints', and the gateway's own.
func (g *Gateway) router(endpoints []*subjects.Descriptor) (_ http.Handler, err error) {
	mux := http.NewServeMux()
	// The mux panics on two patterns of which neither is more specific: a fault of the contract.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("laying out the routes: %v", p)
		}
	}()
	add := func(method string, op *operation) { mux.HandleFunc(method+" "+op.route, g.serve(op)) }
	for _, d := range endpoints {
		rt, err := g.newRoute(d)
		if err != nil {
			return nil, fmt.Errorf("making the route of %s: %w", d.Name(), err)
		}
		g.byName[d.Name()] = rt
		if d.Path != "" {
			add(d.HTTPMethod, &operation{name: d.Name(), route: d.Path, handle: rt.handle})
		}
	}
	for _, op := range g.aggregates(endpoints) {
		add(http.MethodGet, op)
	}
	documents, err := g.documents()
	if err != nil {
		return nil, err
	}
	for _, op := range append(documents,
		&operation{name: "gateway.healthz", route: "/healthz", handle: healthz, quiet: true},
		&operation{name: "gateway.readyz", route: "/readyz", handle: g.health.handle, quiet: true}) {
		add(http.MethodGet, op)
	}
	mux.HandleFunc(anyPath, g.serve(&operation{name: "gateway.no_route", route: "-", handle: func(x *exchange) error {
		return noRoute(x, mux)
	}}))
	return mux, nil
}

// methods are those that any route may have, as Allow lists them.
var methods = []string{
	http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut,
}

// anyPath is the pattern of what has no route.
const anyPath = "/"

// noRoute answers what no route matches: a path that is not there, OPTIONS (a preflight of CORS among them), or a method
// that the path has not.
func noRoute(x *exchange, mux *http.ServeMux) error {
	probe := &http.Request{URL: x.r.URL, Host: x.r.Host}
	var allowed []string
	for _, probe.Method = range methods {
		if _, pattern := mux.Handler(probe); pattern != anyPath {
			allowed = append(allowed, probe.Method)
		}
	}
	if len(allowed) == 0 {
		return subjects.Errorf(subjects.CodeNotFound, "there is nothing at this path; /docs lists what there is")
	}
	allowed = append(allowed, http.MethodOptions)
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	h := x.w.Header()
	h.Set("Allow", list)
	if x.r.Method != http.MethodOptions {
		return subjects.Errorf(subjects.CodeMethodNotAllowed, "this path takes %s", list)
	}
	if h.Get("Access-Control-Allow-Origin") != "" && x.r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", list)
		h.Set("Access-Control-Allow-Headers", corsRequestHeaders)
		h.Set("Access-Control-Max-Age", "600")
	}
	x.write(http.StatusNoContent, nil, nil)
	return nil
}

// What pages of other origins may send and read.
const (
	corsRequestHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Request-Timeout, Traceparent, X-OAuth-Binding, X-Request-Id"
	corsExposedHeaders = "Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
)

// cors lets the pages of a configured origin read answers. Credentials are never asked for: a token is sent by the page
// itself.
func (g *Gateway) cors(h http.Header, origin string) {
	if len(g.config.CORSOrigins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if !slices.Contains(g.config.CORSOrigins, origin) && !slices.Contains(g.config.CORSOrigins, "*") {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposedHeaders)
}
