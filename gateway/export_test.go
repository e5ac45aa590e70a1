package gateway

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// NewWith is New with additional endpoints.
func NewWith(d Deps, c Config, extra []*subjects.Descriptor) (*Gateway, error) {
	return newGateway(d, c, append(slices.Clone(subjects.Endpoints()), extra...))
}

// HasSecret reports whether the replies of an endpoint are never compressed.
func HasSecret(d *subjects.Descriptor) bool { return hasSecret(d) }

// OpenAPIOf is OpenAPI with the given endpoints in place of the declared ones.
func OpenAPIOf(endpoints []*subjects.Descriptor) ([]byte, error) {
	return openAPI(ReleaseVersion, endpoints)
}

// BuildMessage builds the request message of an endpoint without a server.
func BuildMessage(d *subjects.Descriptor, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	b, err := newMessageBuilder(d, trustedProxies{}, 1<<20)
	if err != nil {
		return nil, err
	}
	return b.build(w, r, &body{max: b.maxBody, factor: bodyFactor})
}

// ClientAddress returns the client address of a request.
func ClientAddress(r *http.Request, trusted ...string) (netip.Addr, error) {
	prefixes, err := parsePrefixes(trusted)
	return trustedProxies{prefixes}.clientAddress(r), err
}

// LimitAddress returns an address as rate limits count it.
func LimitAddress(a netip.Addr) string { return limitAddress(a) }

// EventID returns the id of a message of the stream with a filter, as every gateway on that connection makes it.
func EventID(conn *mesh.Conn, filter string, sequence uint64) (string, error) {
	ids, err := newEventIDs(conn)
	if err != nil {
		return "", err
	}
	return ids.id(filter, sequence), nil
}

// Drain ends the streams.
func (g *Gateway) Drain() { g.drain() }

// HandlerOf returns the handler of an operation that runs f.
func (g *Gateway) HandlerOf(f func() error) http.Handler {
	return g.serve(&operation{name: "gateway.test", route: "-", handle: func(*requestContext) error { return f() }})
}

// MaxCachedKeys bounds a key cache.
const MaxCachedKeys = maxCachedKeys

// FillKeyCache puts n entries into a key cache that expire at until, and gets the first one after each. It returns how many the
// cache holds, how many of them it returns at now, and whether it returns the first one.
func FillKeyCache(n int, until, now time.Time) (held, valid int, first bool) {
	c := newKeyCache()
	hash := func(i int) keyHash { return sha256.Sum256(fmt.Append(nil, i)) }
	for i := range n {
		c.entries.Add(hash(i), cachedKey{token: "t", until: until})
		c.get(hash(0), now)
	}
	for _, hash := range c.entries.Keys() {
		if _, ok := c.get(hash, now); ok {
			valid++
		}
	}
	_, first = c.get(hash(0), now)
	return c.entries.Len(), valid, first
}

// ArrivingBodies returns how much memory arriving bodies hold.
func (g *Gateway) ArrivingBodies() int64 { return g.budgets.arriving.Used() }
