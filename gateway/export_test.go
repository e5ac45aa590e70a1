package gateway

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/weftmesh/weft/subjects"
)

// NewWith is New with additional endpoints.
func NewWith(d Deps, c Config, extra []*subjects.Descriptor) (*Gateway, error) {
	return newGateway(d, c, append(slices.Clone(subjects.Endpoints()), extra...))
}

// OpenAPIOf is OpenAPI with the given endpoints in place of the declared ones.
func OpenAPIOf(endpoints []*subjects.Descriptor) ([]byte, error) { return openAPI(endpoints) }

// BuildMessage builds the request message of an endpoint without a server.
func BuildMessage(d *subjects.Descriptor, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	b, err := newMessageBuilder(d, trustedProxies{}, 1<<20)
	if err != nil {
		return nil, err
	}
	return b.build(w, r)
}

// ClientAddress returns the client address of a request.
func ClientAddress(r *http.Request, trusted ...string) (netip.Addr, error) {
	prefixes, err := parsePrefixes(trusted)
	return trustedProxies{prefixes}.clientAddress(r), err
}

// LimitAddress returns an address as rate limits count it.
func LimitAddress(a netip.Addr) string { return limitAddress(a) }

// Drain ends the streams.
func (g *Gateway) Drain() { g.drain() }
