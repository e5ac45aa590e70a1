package database

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"
)

// postgresDSN is a parsed PostgreSQL URL. pgdriver's own parser is not used, because it treats sslmode=prefer as TLS without
// verification, and turns unknown parameters into SET statements.
type postgresDSN struct {
	network, addr            string
	user, password, database string
	appName, schemaPrefix    string
	dialTimeout              time.Duration
	tls                      *tls.Config
}

var errPostgresURL = errors.New("malformed PostgreSQL URL (not shown, it may hold a password)")

func parsePostgresURL(raw string) (postgresDSN, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return postgresDSN{}, errPostgresURL
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return postgresDSN{}, errPostgresURL
	}
	take := func(name, absent string) string {
		defer q.Del(name)
		if v := q.Get(name); v != "" {
			return v
		}
		return absent
	}
	host, port := u.Hostname(), u.Port()
	host = take("host", host)
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "5432"
	}
	d := postgresDSN{network: "tcp", addr: net.JoinHostPort(host, port), dialTimeout: pgDialTimeout}
	if strings.HasPrefix(host, "/") {
		d.network, d.addr = "unix", host+"/.s.PGSQL."+port
	}
	d.user = u.User.Username()
	d.password, _ = u.User.Password()
	if d.user == "" {
		d.user = "postgres"
	}
	if d.database = strings.TrimPrefix(u.Path, "/"); d.database == "" {
		d.database = d.user
	}
	d.appName, d.schemaPrefix = take("application_name", ""), take("schema_prefix", "weft_")
	if s := take("connect_timeout", ""); s != "" {
		seconds, err := strconv.Atoi(s)
		if err != nil || seconds < 1 {
			return d, fmt.Errorf("invalid connect_timeout %q, want a number of seconds", s)
		}
		d.dialTimeout = time.Duration(seconds) * time.Second
	}
	mode := take("sslmode", defaultSSLMode(host))
	d.tls, err = postgresTLS(mode, host, take("sslrootcert", ""), take("sslcert", ""), take("sslkey", ""))
	if err != nil {
		return d, err
	}
	for name := range q {
		return d, fmt.Errorf("unknown PostgreSQL URL parameter %q", name)
	}
	return d, nil
}

func (d postgresDSN) options(params map[string]any) []pgdriver.Option {
	return []pgdriver.Option{
		pgdriver.WithNetwork(d.network), pgdriver.WithAddr(d.addr), pgdriver.WithTLSConfig(d.tls),
		pgdriver.WithUser(d.user), pgdriver.WithPassword(d.password), pgdriver.WithDatabase(d.database),
		pgdriver.WithApplicationName(d.appName), pgdriver.WithConnParams(params),
		pgdriver.WithDialTimeout(d.dialTimeout), pgdriver.WithReadTimeout(pgIOTimeout),
		pgdriver.WithWriteTimeout(pgIOTimeout), pgdriver.WithTracing(false), // the runtime's span covers it
	}
}

// defaultSSLMode returns disable for this machine and verify-full for every other host.
func defaultSSLMode(host string) string {
	ip := net.ParseIP(host)
	if host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback() {
		return "disable"
	}
	return "verify-full"
}

// postgresTLS returns the TLS configuration for an sslmode with libpq's meaning: require encrypts without verification, or is
// verify-ca if a root certificate is given (https://www.postgresql.org/docs/current/libpq-ssl.html). nil means no TLS.
func postgresTLS(mode, host, rootCert, cert, key string) (*tls.Config, error) {
	if mode == "disable" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if rootCert != "" {
		pem, err := os.ReadFile(rootCert)
		if err != nil {
			return nil, fmt.Errorf("reading sslrootcert: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("reading sslrootcert: the file contains no certificate")
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("reading sslcert and sslkey: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch {
	case mode == "verify-full":
	case mode == "require" && rootCert == "":
		c.InsecureSkipVerify = true
	case mode == "verify-ca" || mode == "require":
		c.InsecureSkipVerify = true // skips the host name only: VerifyConnection verifies the chain
		c.VerifyConnection = verifyChain(c.RootCAs)
	default:
		return nil, fmt.Errorf("unknown sslmode %q, want disable, require, verify-ca or verify-full", mode)
	}
	return c, nil
}

// verifyChain returns a check that the peer's certificate chains to roots, or to the system's if roots is nil.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		intermediates := x509.NewCertPool()
		for _, cert := range s.PeerCertificates[1:] {
			intermediates.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
		return err
	}
}
