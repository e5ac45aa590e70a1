package mesh_test

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/mesh"
)

func TestClientNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.7":          "203.0.113.7/32",
		"::ffff:203.0.113.7":   "203.0.113.7/32",
		"0.0.0.0":              "0.0.0.0/32",
		"2001:db8:1:2:3::4":    "2001:db8:1:2::/64",
		"2001:db8:1:2::":       "2001:db8:1:2::/64",
		"2001:db8:1:3::":       "2001:db8:1:3::/64",
		"::1":                  "::/64",
		"fe80::1%eth0":         "fe80::/64",
		"64:ff9b::203.0.113.7": "64:ff9b::/64",
	} {
		if got := mesh.ClientNetwork(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s belongs to %s, want %s", address, got, want)
		}
	}
	if got := mesh.ClientNetwork(netip.Addr{}); got.IsValid() || got != (netip.Prefix{}) {
		t.Errorf("an invalid address belongs to %s", got)
	}
}

func TestClientNetworkContainsTheClient(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 4, 4), rapid.SliceOfN(rapid.Byte(), 16, 16)).Draw(t, "address")
		address, _ := netip.AddrFromSlice(raw)
		network := mesh.ClientNetwork(address)
		if !network.Contains(address.Unmap()) || network != network.Masked() {
			t.Fatalf("%s belongs to %s", address, network)
		}
		if again := mesh.ClientNetwork(network.Addr()); again != network {
			t.Fatalf("the network of %s is %s, not %s", network.Addr(), again, network)
		}
	})
}

func TestValidIdempotencyKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"": false, "k": true, " ": true, "~": true, "a b": true, strings.Repeat("k", mesh.MaxIdempotencyKey): true,
		strings.Repeat("k", mesh.MaxIdempotencyKey+1): false, "a\tb": false, "a\nb": false, "a\x7f": false, "é": false, "a\x00": false,
	} {
		if got := mesh.ValidIdempotencyKey(key); got != want {
			t.Errorf("%q is valid: %t", key, got)
		}
	}
}
