package embedded

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"
)

// Accounts of an edge node's server that LocalConn connects to.
const (
	// AccountMesh is the account of weft's own users, streams and buckets.
	AccountMesh = "WEFT"
	// AccountHub is bound to the leaf connection, and has neither streams nor other users. What crosses to or from the hub is published or
	// subscribed here, so that nothing of the mesh at the edge is visible to the hub, and nothing of the hub to the edge's mesh.
	AccountHub = "HUB"
)

// leafReconnect is the delay before a lost leaf connection is dialled again, and leafDial bounds one attempt.
const (
	leafReconnect = 250 * time.Millisecond
	leafDial      = 3 * time.Second
)

// leafPing is the interval at which an idle leaf connection is checked: after two intervals without an answer it is closed.
const leafPing = time.Second

// Leaf configures the leaf connection of an edge node's server to its hub.
type Leaf struct {
	// Name is the edge node's name. Its JetStream domain is edge-<name>.
	Name string
	// URLs are addresses of the hub's leaf listeners: nats://host:7422, or tls://host:7422.
	URLs []string
	// Seed is the nkey seed that the hub has enrolled.
	Seed []byte
	// CA is a file of certificates to verify the hub's with, in place of the system's. It requires TLS.
	CA string
}

// leaf is a Leaf with the keys of the local users.
type leaf struct {
	Leaf

	remote *server.RemoteLeafOpts
	users  map[string]nkeys.KeyPair
}

// StartEdge is Start for an edge node: the server has its own JetStream domain, and a leaf connection to a hub, which it dials until it is
// closed. The hub may be unreachable.
func StartEdge(ctx context.Context, dir string, l Leaf, log *zap.Logger) (*Server, error) {
	remote, err := l.remote()
	if err != nil {
		return nil, err
	}
	prepared := &leaf{Leaf: l, remote: remote, users: map[string]nkeys.KeyPair{}}
	for _, account := range []string{AccountMesh, AccountHub} {
		if prepared.users[account], err = nkeys.CreateUser(); err != nil {
			return nil, fmt.Errorf("creating a key: %w", err)
		}
	}
	return start(ctx, dir, prepared, log)
}

// remote returns the server's options of the leaf connection.
func (l Leaf) remote() (*server.RemoteLeafOpts, error) {
	remote := &server.RemoteLeafOpts{LocalAccount: AccountHub, Nkey: string(l.Seed), DialTimeout: leafDial, NoRandomize: true}
	secure := l.CA != ""
	for _, text := range l.URLs {
		address, err := url.Parse(text)
		if err != nil || address.Host == "" || address.Scheme != "nats" && address.Scheme != "tls" {
			return nil, fmt.Errorf("the hub's address %q must have the form nats://host:7422 or tls://host:7422", text)
		}
		if address.Port() == "" {
			address.Host += ":7422"
		}
		secure = secure || address.Scheme == "tls"
		remote.URLs = append(remote.URLs, address)
	}
	if len(remote.URLs) == 0 {
		return nil, errors.New("the hub's address is missing")
	}
	if !secure {
		return remote, nil
	}
	remote.TLS, remote.TLSTimeout = true, leafDial.Seconds()
	remote.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if l.CA != "" {
		pem, err := os.ReadFile(l.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the hub's certificate authority: %w", err)
		}
		remote.TLSConfig.RootCAs = x509.NewCertPool()
		if !remote.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", l.CA)
		}
	}
	return remote, nil
}

// apply adds the leaf connection, its account and the local users to a server's options.
func (l *leaf) apply(options *server.Options) error {
	options.JetStreamDomain = "edge-" + l.Name
	options.LeafNode.Remotes = []*server.RemoteLeafOpts{l.remote}
	options.LeafNode.ReconnectInterval = leafReconnect
	options.LeafNode.DialTimeout = leafDial
	options.PingInterval, options.MaxPingsOut = leafPing, 2
	hub := server.NewAccount(AccountHub)
	options.Accounts = append(options.Accounts, hub)
	for _, account := range options.Accounts {
		pair := l.users[account.Name]
		if pair == nil {
			continue
		}
		public, err := pair.PublicKey()
		if err != nil {
			return fmt.Errorf("reading a key: %w", err)
		}
		options.Nkeys = append(options.Nkeys, &server.NkeyUser{Nkey: public, Account: account})
	}
	return nil
}

// LocalConn connects to an account of an edge node's server, as a user that may publish and subscribe to everything in it. Its key exists
// in this process only.
func (s *Server) LocalConn(account, name, inbox string) (*nats.Conn, error) {
	if s.leaf == nil || s.leaf.users[account] == nil {
		return nil, fmt.Errorf("there is no local user of the account %s", account)
	}
	pair := s.leaf.users[account]
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return nats.Connect(s.ClientURL(), nats.InProcessServer(s), nats.Nkey(public, pair.Sign), nats.Name(name), nats.CustomInboxPrefix(inbox),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort())
}

// Link identifies the leaf connection to the hub, another one after each reconnect; 0 while there is none.
func (s *Server) Link() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	leaves, err := s.nats.Leafz(nil)
	if err != nil || len(leaves.Leafs) == 0 {
		return 0
	}
	return leaves.Leafs[0].ID
}

// Linked reports whether the leaf connection to the hub is up.
func (s *Server) Linked() bool { return s.Link() != 0 }

// LeafAddress is the address at which a hub's server accepts leaf connections; empty if it accepts none.
func (s *Server) LeafAddress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, err := s.nats.Varz(nil); err == nil && v.LeafNode.Port > 0 {
		return net.JoinHostPort(v.LeafNode.Host, strconv.Itoa(v.LeafNode.Port))
	}
	return ""
}

// leafFile has the address of leaf connections of a server that listens on a free port.
const leafFile = "leaf.address"

// LeafURL is the address at which edge nodes on this machine reach the server of a folder; empty if it accepts no leaf connections, or if it
// listens on a free port and has not run.
func LeafURL(dir string) string {
	options, err := server.ProcessConfigFile(filepath.Join(dir, confFile))
	if err != nil || options.LeafNode.Port == 0 {
		return ""
	}
	host, port := options.LeafNode.Host, strconv.Itoa(options.LeafNode.Port)
	if options.LeafNode.Port < 0 {
		noted, err := os.ReadFile(filepath.Join(filepath.Clean(dir), leafFile))
		if err != nil {
			return ""
		}
		if host, port, err = net.SplitHostPort(string(noted)); err != nil {
			return ""
		}
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, port)
}

// noteLeaf writes the address of leaf connections to the server's folder, for LeafURL.
func (s *Server) noteLeaf() error {
	if address := s.LeafAddress(); address != "" {
		if err := write(filepath.Join(s.dir, leafFile), []byte(address), 0o644); err != nil {
			return fmt.Errorf("noting the address of leaf connections: %w", err)
		}
	}
	return nil
}
