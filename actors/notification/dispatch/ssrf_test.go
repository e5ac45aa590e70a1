package dispatch_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification/dispatch"
)

// specialRanges has an address of each range of IANA's special-purpose registries (RFC 6890), and of multicast.
var specialRanges = []string{
	"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.254", "192.0.0.1",
	"192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
	"240.0.0.1", "255.255.255.255",
	"::", "::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:db8::1", "2001:20::1",
	"2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
	"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1",
}

// No attempt reaches an address of a special range: as an address, by a name, or by a redirect.
func TestSpecialAddressesAreBlocked(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	var answer atomic.Value
	f := setup(t, actortest.Database{Name: "sqlite"}, func(o *dispatch.Options) {
		o.Allow, o.Resolver = nil, newResolver(t, func() []netip.Addr { return []netip.Addr{answer.Load().(netip.Addr)} })
	})
	attempt := func(host string) dispatch.Attempt {
		return f.Attempt(t.Context(), dispatch.Endpoint{ID: "e", URL: "http://" + net.JoinHostPort(host, port), Secrets: []string{dispatch.NewSecret()}}, event(`{}`))
	}
	blocked := func(a dispatch.Attempt) bool {
		return a.Status == 0 && strings.Contains(a.Error, "does not resolve to an allowed address")
	}
	for _, text := range specialRanges {
		if a := attempt(text); !blocked(a) {
			t.Errorf("%s: %+v", text, a)
		}
		answer.Store(netip.MustParseAddr(text))
		if a := attempt("rebound.example"); !blocked(a) {
			t.Errorf("a name of %s: %+v", text, a)
		}
	}
	for _, host := range []string{"localhost", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1"} {
		answer.Store(netip.MustParseAddr("127.0.0.1"))
		if a := attempt(host); a.Status != 0 {
			t.Errorf("%s: %+v", host, a)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("the local server got %d requests", hits.Load())
	}
}

// A name that had an allowed address before is refused once it has another one, and a redirect is not followed.
func TestReboundName(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(inner.Close)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	var redirect atomic.Bool
	outer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		if redirect.Load() {
			http.Redirect(w, r, inner.URL, http.StatusTemporaryRedirect)
		}
	}))
	outer.Listener = l
	outer.Start()
	t.Cleanup(outer.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var answer atomic.Value
	answer.Store(netip.MustParseAddr("127.0.0.2"))
	f := setup(t, actortest.Database{Name: "sqlite"}, func(o *dispatch.Options) {
		o.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
		o.Resolver = newResolver(t, func() []netip.Addr { return []netip.Addr{answer.Load().(netip.Addr)} })
	})
	e := dispatch.Endpoint{ID: "e", URL: "http://rebound.example:" + port, Secrets: []string{dispatch.NewSecret()}}
	if a := f.Attempt(t.Context(), e, event(`{}`)); a.Status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	redirect.Store(true)
	if a := f.Attempt(t.Context(), e, event(`{}`)); a.Status != http.StatusTemporaryRedirect || a.Error == "" {
		t.Errorf("%+v", a)
	}
	answer.Store(netip.MustParseAddr("127.0.0.1"))
	if a := f.Attempt(t.Context(), e, event(`{}`)); a.Status != 0 || !strings.Contains(a.Error, "allowed address") {
		t.Errorf("%+v", a)
	}
	if hits.Load() != 0 {
		t.Errorf("the inner server got %d requests", hits.Load())
	}
}

// newResolver starts a DNS server whose answers may change, and returns a resolver that asks it.
func newResolver(t *testing.T, addresses func() []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil || len(message.Questions) == 0 {
				continue
			}
			message.Response, message.Additionals = true, nil
			question := message.Questions[0]
			header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class}
			for _, address := range addresses() {
				switch {
				case question.Type == dnsmessage.TypeA && address.Is4():
					message.Answers = append(message.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: address.As4()}})
				case question.Type == dnsmessage.TypeAAAA && !address.Is4():
					message.Answers = append(message.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}})
				}
			}
			if packed, err := message.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}
