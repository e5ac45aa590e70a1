package gateway

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/weftmesh/weft/subjects"
)

// NewWith is New with endpoints of a test's own beside the declared ones.
func NewWith(d Deps, c Config, extra []*subjects.Descriptor) (*Gateway, error) {
	return newGateway(d, c, append(slices.Clone(subjects.Endpoints()), extra...))
}

// OpenAPIOf is OpenAPI of endpoints of a test's own.
func OpenAPIOf(endpoints []*subjects.Descriptor) ([]byte, error) { return openAPI(endpoints) }

// Build makes one request's message, outside any server.
func Build(d *subjects.Descriptor, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	b, err := newBuilder(d, 1<<20)
	if err != nil {
		return nil, err
	}
	return b.build(w, r)
}

// Address is the client's address of a request.
func Address(r *http.Request, trusted ...string) (netip.Addr, error) {
	prefixes, err := parsePrefixes(trusted)
	return origins{prefixes}.address(r), err
}

// Drain ends the streams.
func (g *Gateway) Drain() { g.drain() }
