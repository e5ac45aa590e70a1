package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/mesh"
)

// Modes of ClusterOptions.TLS.
const (
	// TLSAuto is TLSOn unless all servers listen on the loopback interface.
	TLSAuto = "auto"
	// TLSOn encrypts the connections of clients and between servers.
	TLSOn = "on"
	// TLSMutual is TLSOn, and clients must present a certificate of the cluster's authority.
	TLSMutual = "mutual"
	// TLSOff encrypts nothing, for networks in which every machine is trusted.
	TLSOff = "off"
)

// Files of a cluster's folder.
const (
	// clusterFile is in each server's folder. It is secret, because it has the password of routes.
	clusterFile = "cluster.conf"
	// authorityFolder has the private key of the certificate authority, and the password of routes.
	authorityFolder = "ca"
	passwordFile    = "routes.password"
	tlsFolder       = "tls"
)

// ClusterOptions configures the servers of a cluster.
type ClusterOptions struct {
	// Name is the cluster's name. Default: weft.
	Name string
	// Members are its servers.
	Members []Member
	// TLS is TLSAuto, TLSOn, TLSMutual or TLSOff. Default: TLSAuto.
	TLS string
	// Renew renews the certificates of which a third of their life or less is left.
	Renew bool
	// Path is the folder that each server's folder is copied to on its machine. Default: where it is written.
	Path string
	// Sync and Monitor are those of Options.
	Sync, Monitor string
	// Now is the present time.
	Now time.Time
}

// ClusterFolder says what InitCluster has written.
type ClusterFolder struct {
	// Dir is the folder of the cluster, and Keys that of the users' keys and of what clients need for TLS.
	Dir, Keys string
	// Encrypted says whether TLS is on.
	Encrypted bool
	// URL lists the addresses of the servers for clients.
	URL string
	// Issued lists the certificates that are new, and Due those of which a third of their life or less is left.
	Issued, Due []string
	// Left lists the folders of servers that are not members.
	Left []string
}

// InitCluster writes the folders of a cluster's servers below dir: <dir>/<name> for each server, which needs nothing else; <dir>/keys with
// the users' seeds, the public keys and, with TLS, what clients need; and <dir>/ca with the private key of the authority and the password of
// routes, which only InitCluster needs. Existing keys, passwords, certificates and enrolled users are kept, so that servers can be added.
func InitCluster(dir string, o ClusterOptions) (ClusterFolder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ClusterFolder{}, fmt.Errorf("finding the folder: %w", err)
	}
	if err := o.complete(); err != nil {
		return ClusterFolder{}, err
	}
	c := ClusterFolder{Dir: dir, Keys: filepath.Join(dir, keyFolder), Encrypted: o.TLS != TLSOff}
	for _, folder := range []string{keyFolder, authorityFolder} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return c, fmt.Errorf("creating the folder %s: %w", folder, err)
		}
	}
	keys, tokens, err := ensureKeys(dir)
	if err != nil {
		return c, err
	}
	password, err := ensurePassword(filepath.Join(dir, authorityFolder, passwordFile))
	if err != nil {
		return c, err
	}
	if c.Encrypted {
		if err := c.certify(o); err != nil {
			return c, err
		}
	}
	enrolled, err := c.enrolled(o.Members)
	if err != nil {
		return c, err
	}
	var urls []string
	for _, m := range o.Members {
		own := filepath.Join(dir, m.Name)
		if err := m.write(own, o, keys, tokens, password); err != nil {
			return c, fmt.Errorf("writing the folder of server %s: %w", m.Name, err)
		}
		if len(enrolled) > 0 {
			if err := Admit(own, enrolled); err != nil {
				return c, err
			}
		}
		urls = append(urls, c.scheme()+net.JoinHostPort(m.Host, m.clientPort()))
	}
	c.URL = strings.Join(urls, ",")
	c.Left, err = c.others(o.Members)
	return c, err
}

func (c ClusterFolder) scheme() string {
	if c.Encrypted {
		return "tls://"
	}
	return "nats://"
}

// Check returns what is wrong with the options.
func (o ClusterOptions) Check() error { return o.complete() }

// complete sets the defaults and checks the options.
func (o *ClusterOptions) complete() error {
	if o.Name == "" {
		o.Name = "weft"
	}
	if !memberName.MatchString(o.Name) {
		return fmt.Errorf("the cluster's name %q %w", o.Name, errMemberName)
	}
	if err := checkMembers(o.Members); err != nil {
		return err
	}
	if o.Path != "" && !filepath.IsAbs(o.Path) {
		return fmt.Errorf("the path %q on the servers' machines is not absolute", o.Path)
	}
	switch o.TLS {
	case TLSOn, TLSMutual, TLSOff:
	case TLSAuto, "":
		o.TLS = TLSOn
		if !slices.ContainsFunc(o.Members, func(m Member) bool { return !m.Loopback() }) {
			o.TLS = TLSOff
		}
	default:
		return fmt.Errorf("TLS %q is none of %s, %s, %s and %s", o.TLS, TLSAuto, TLSOn, TLSMutual, TLSOff)
	}
	return nil
}

// write writes the folder of a server.
func (m Member) write(dir string, o ClusterOptions, keys Keys, tokens map[string]string, password string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	at := o.Path
	if at == "" {
		at = dir
	}
	options, err := Options{
		Host: m.listen(), Port: m.ClientPort, Store: filepath.Join(at, "jetstream"), Sync: o.Sync, Monitor: o.Monitor, clustered: true,
	}.withDefaults(at)
	if err != nil {
		return err
	}
	if o.TLS != TLSOff {
		options.TLS = ServerTLS{Cert: filepath.Join(at, tlsFolder, serverCert+crtSuffix), Key: filepath.Join(at, tlsFolder, serverCert+keySuffix)}
		if o.TLS == TLSMutual {
			options.TLS.ClientCA = filepath.Join(at, tlsFolder, caFile)
		}
	}
	// First, because nats.conf includes it.
	if err := write(filepath.Join(dir, clusterFile), m.render(o, at, password), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", clusterFile, err)
	}
	return options.write(dir, at, keys, tokens)
}

// render renders cluster.conf. The routes of all servers have the same password, so that a certificate of the authority that was issued
// for something else does not make a server.
func (m Member) render(o ClusterOptions, at, password string) []byte {
	var b strings.Builder
	b.WriteString("# This server's place in its cluster. Written by weft nats-init --cluster; secret.\n\n")
	fmt.Fprintf(&b, "server_name: %s\nclient_advertise: %s\n\n", quote(m.Name), quote(net.JoinHostPort(m.Host, m.clientPort())))
	fmt.Fprintf(&b, "cluster {\n  name: %s\n  listen: %s\n  cluster_advertise: %s\n", quote(o.Name),
		quote(net.JoinHostPort(m.listen(), m.routePort())), quote(net.JoinHostPort(m.Host, m.routePort())))
	fmt.Fprintf(&b, "  authorization { user: %s, password: %s, timeout: 5 }\n", quote(routeUser), quote(password))
	if o.TLS != TLSOff {
		file := func(name string) string { return quote(filepath.Join(at, tlsFolder, name)) }
		fmt.Fprintf(&b, "  tls {\n    cert_file: %s\n    key_file: %s\n    ca_file: %s\n    verify: true\n    timeout: 5\n  }\n",
			file(routeCert+crtSuffix), file(routeCert+keySuffix), file(caFile))
	}
	b.WriteString("  routes: [\n")
	for _, other := range o.Members {
		fmt.Fprintf(&b, "    %s\n", quote("nats://"+routeUser+":"+password+"@"+net.JoinHostPort(other.Host, other.routePort())))
	}
	b.WriteString("  ]\n}\n")
	return []byte(b.String())
}

// routeUser is the user name of routes.
const routeUser = "route"

// ensurePassword returns the password in a file, which it creates if there is none.
func ensurePassword(path string) (string, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		random := make([]byte, 32)
		if _, err := rand.Read(random); err != nil {
			return "", fmt.Errorf("creating the password of routes: %w", err)
		}
		text = []byte(hex.EncodeToString(random) + "\n")
		err = write(path, text, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("creating the password of routes: %w", err)
	}
	password := strings.TrimSpace(string(text))
	if _, err := hex.DecodeString(password); err != nil || len(password) < 32 {
		return "", fmt.Errorf("%s is damaged", path)
	}
	return password, nil
}

// enrolled returns the users that are enrolled at a server of the cluster.
func (c ClusterFolder) enrolled(members []Member) ([]mesh.Enrolled, error) {
	for _, m := range members {
		users, err := LoadEnrolled(filepath.Join(c.Dir, m.Name))
		if err != nil || len(users) > 0 {
			return users, err
		}
	}
	return nil, nil
}

// others lists the servers below the folder that are not members.
func (c ClusterFolder) others(members []Member) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(c.Dir, "*", clusterFile))
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		if !slices.ContainsFunc(members, func(m Member) bool { return m.Name == name }) {
			names = append(names, name)
		}
	}
	return names, err
}
