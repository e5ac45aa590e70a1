package egress_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weftmesh/weft/actors/egress"
)

// special has an address of each block of IANA's registries of special-purpose addresses (RFC 6890) that is not globally reachable, and of
// the forms of IPv6 that embed such an IPv4 address.
var special = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1",
	"192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
	"240.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
	"64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:db8::1", "2001:10::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "fc00::1",
	"fd00:ec2::254", "fe80::1", "ff02::1", "3fff::1", "5f00::1",
}

// TestCheckRefusesSpecialAddresses: no address of a special-purpose block passes, in any spelling of it, and nothing is sent.
func TestCheckRefusesSpecialAddresses(t *testing.T) {
	t.Parallel()
	client := newClient(t, func(o *egress.Options) { o.Allow = nil })
	hosts := []string{"localhost", "LOCALHOST.", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]"}
	for _, address := range special {
		if strings.Contains(address, ":") {
			address = "[" + address + "]"
		}
		hosts = append(hosts, address)
	}
	for _, host := range hosts {
		wantKind(t, client.Check(t.Context(), "http://"+host+":8080/hook"), egress.KindBlocked, false)
	}
}

// TestCheckRefusesURLs: URLs that no call may have are refused before their host is resolved.
func TestCheckRefusesURLs(t *testing.T) {
	t.Parallel()
	client, err := egress.New(egress.Options{Resolver: newResolver(t, [4]byte{93, 184, 215, 14})})
	if err != nil {
		t.Fatal(err)
	}
	for address, kind := range map[string]egress.Kind{
		"http://example.com/":        egress.KindScheme,
		"ftp://example.com/":         egress.KindScheme,
		"https://ada:pw@example.com": egress.KindInvalid,
		"https:///path":              egress.KindInvalid,
		"mailto:ada@example.com":     egress.KindInvalid,
		"https://a b/":               egress.KindInvalid,
	} {
		wantKind(t, client.Check(t.Context(), address), kind, false)
	}
	if err := client.Check(t.Context(), "https://example.com/hook?x=1"); err != nil {
		t.Errorf("a public address is refused: %v", err)
	}
}

// TestCheckLooksAtEveryAddress: a name with a public and a private address is refused.
func TestCheckLooksAtEveryAddress(t *testing.T) {
	t.Parallel()
	client, err := egress.New(egress.Options{Resolver: changingResolver(t, [][4]byte{{93, 184, 215, 14}, {10, 0, 0, 1}}, nil)})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, client.Check(t.Context(), "https://two.example/"), egress.KindBlocked, false)
}

// TestRebindingIsStoppedAtTheDial: a name that resolves to a public address when it is checked, and to this machine when it is called, reaches
// nothing.
func TestRebindingIsStoppedAtTheDial(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := newServer(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	var rebound atomic.Bool
	resolver := changingResolver(t, [][4]byte{{93, 184, 215, 14}}, func() [][4]byte {
		if rebound.Load() {
			return [][4]byte{{127, 0, 0, 1}}
		}
		return nil
	})
	client := newClient(t, func(o *egress.Options) { o.Allow, o.Resolver = nil, resolver })
	address := "http://rebind.example:" + port + "/"
	if err := client.Check(t.Context(), address); err != nil {
		t.Fatalf("the check before the change: %v", err)
	}
	rebound.Store(true)
	_, err := client.Do(t.Context(), egress.Request{Method: http.MethodPost, URL: address, Body: []byte("{}")})
	wantKind(t, err, egress.KindBlocked, false)
	if hits.Load() != 0 {
		t.Error("the local server was reached")
	}
}

// TestCheckEndsWithItsContext: a check whose caller has gone is no verdict about the address.
func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client := newClient(t, func(o *egress.Options) { o.Resolver = newResolver(t, [4]byte{93, 184, 215, 14}) })
	wantKind(t, client.Check(ctx, "http://example.com/"), egress.KindCanceled, false)
}

// changingResolver starts a DNS server that answers A queries with what change returns, or with addresses if that is nothing.
func changingResolver(t *testing.T, addresses [][4]byte, change func() [][4]byte) *net.Resolver {
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
			answers := addresses
			if change != nil && change() != nil {
				answers = change()
			}
			question := message.Questions[0]
			for _, ip := range answers {
				if question.Type == dnsmessage.TypeA {
					message.Answers = append(message.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
						Body:   &dnsmessage.AResource{A: ip},
					})
				}
			}
			if packed, err := message.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}
