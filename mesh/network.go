package mesh

import "net/netip"

// networkBits is the length of the prefix that identifies the network of an IPv6 client: a single client usually controls a
// whole /64 (RFC 4291 §2.5.1, RFC 7934 §6).
const networkBits = 64

// ClientNetwork returns the network by which limits count a client: the address itself (/32) for IPv4 and IPv4-mapped IPv6
// addresses, the /64 for other IPv6 addresses, without zone. For an invalid address it returns the zero Prefix, which is invalid.
func ClientNetwork(address netip.Addr) netip.Prefix {
	address = address.Unmap().WithZone("")
	if !address.IsValid() {
		return netip.Prefix{}
	}
	bits := address.BitLen()
	if address.Is6() {
		bits = networkBits
	}
	return netip.PrefixFrom(address, bits).Masked()
}
