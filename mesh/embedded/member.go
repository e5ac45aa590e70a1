package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// Ports of a member that names none, and the bounds of a cluster.
const (
	defaultClientPort = 4222
	defaultRoutePort  = 6222
	minMembers        = 2
	// MaxMembers bounds the servers of a cluster.
	MaxMembers = 16
)

// Member is a server of a cluster.
type Member struct {
	// Name is the server's name, and that of its folder.
	Name string
	// Host is the name or IP address at which clients and the other servers reach it.
	Host string
	// ClientPort and RoutePort are the ports for clients and for the other servers.
	ClientPort, RoutePort int
}

// memberName are the names of servers and clusters, which are also names of folders.
var memberName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

var errMemberName = errors.New("must consist of at most 63 letters, digits, hyphens, underscores and dots, and begin with a letter or a digit")

// reservedNames are the folders beside those of the servers.
var reservedNames = map[string]bool{keyFolder: true, authorityFolder: true}

// ParseMember parses a server of a cluster: [NAME=]HOST[:CLIENT_PORT[/ROUTE_PORT]]. Without a name, the host is the name. IPv6 addresses
// are in brackets. The ports are 4222 and 6222 by default.
func ParseMember(text string) (Member, error) {
	name, address, named := strings.Cut(text, "=")
	if !named {
		address = name
	}
	m := Member{ClientPort: defaultClientPort, RoutePort: defaultRoutePort}
	host := address
	if i := strings.LastIndexByte(address, ':'); i > strings.LastIndexByte(address, ']') {
		host = address[:i]
		client, route, both := strings.Cut(address[i+1:], "/")
		var err, routeErr error
		m.ClientPort, err = parsePort(client)
		if both {
			m.RoutePort, routeErr = parsePort(route)
		}
		if err = cmp.Or(err, routeErr); err != nil {
			return m, fmt.Errorf("%q: %w", text, err)
		}
	}
	m.Host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.HasPrefix(host, "[") != strings.HasSuffix(host, "]") || !validHost(m.Host) {
		return m, fmt.Errorf("%q: %q is neither a host name nor an IP address", text, host)
	}
	if m.Name = name; !named {
		m.Name = m.Host
	}
	if !memberName.MatchString(m.Name) {
		return m, fmt.Errorf("%q: the name %q %w", text, m.Name, errMemberName)
	}
	if reservedNames[m.Name] {
		return m, fmt.Errorf("%q: the name %q is that of another folder", text, m.Name)
	}
	return m, nil
}

func parsePort(text string) (int, error) {
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%q is not a port of 1 to 65535", text)
	}
	return port, nil
}

// hostName are host names (RFC 1123 §2.1).
var hostName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

func validHost(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return !ip.IsUnspecified()
	}
	return len(host) <= 253 && hostName.MatchString(host)
}

// checkMembers refuses clusters of a wrong size, and names and addresses that occur twice.
func checkMembers(members []Member) error {
	if len(members) < minMembers || len(members) > MaxMembers {
		return fmt.Errorf("a cluster has %d to %d servers, not %d", minMembers, MaxMembers, len(members))
	}
	names, addresses := map[string]bool{}, map[string]string{}
	for _, m := range members {
		if names[m.Name] {
			return fmt.Errorf("two servers have the name %s", m.Name)
		}
		names[m.Name] = true
		for _, port := range []string{m.clientPort(), m.routePort()} {
			address := net.JoinHostPort(m.Host, port)
			if other := addresses[address]; other != "" {
				return fmt.Errorf("%s and %s have the same address %s: servers on one host need ports of their own, as in a=%s:4222/6222", other, m.Name, address, m.Host)
			}
			addresses[address] = m.Name
		}
	}
	return nil
}

func (m Member) clientPort() string { return strconv.Itoa(m.ClientPort) }
func (m Member) routePort() string  { return strconv.Itoa(m.RoutePort) }

// Loopback reports whether the server can be reached from its own machine only.
func (m Member) Loopback() bool {
	ip := net.ParseIP(m.Host)
	return m.Host == "localhost" || ip != nil && ip.IsLoopback()
}

// listen is the address to listen on: that of the member, or every one of the machine if the member has a host name.
func (m Member) listen() string {
	switch {
	case net.ParseIP(m.Host) != nil:
		return m.Host
	case m.Loopback():
		return "127.0.0.1"
	}
	return "0.0.0.0"
}
