package gateway

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

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

// HandlerOf returns the handler of an operation that runs f.
func (g *Gateway) HandlerOf(f func() error) http.Handler {
	return g.serve(&operation{name: "gateway.test", route: "-", handle: func(*requestContext) error { return f() }})
}

// MaxCachedKeys bounds a key cache.
const MaxCachedKeys = maxCachedKeys

// FillKeyCache puts n entries into a key cache that expire after until, and returns how many it holds and how many of them it
// returns at now.
func FillKeyCache(n int, until, now time.Time) (held, valid int) {
	c := keyCache{}
	for i := range n {
		c.put(sha256.Sum256(fmt.Append(nil, i)), cachedKey{token: "t", until: until})
	}
	held = len(c)
	for hash := range maps.Clone(c) {
		if _, ok := c.get(hash, now); ok {
			valid++
		}
	}
	return held, valid
}
