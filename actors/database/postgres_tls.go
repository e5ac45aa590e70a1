package database

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
)

// defaultSSLMode returns disable for this machine and verify-full for every other host.
func defaultSSLMode(host string) string {
	ip := net.ParseIP(host)
	if host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback() {
		return "disable"
	}
	return "verify-full"
}

// postgresEncryption says how connections to a server are encrypted. The fields are libpq's sslmode, the host, and sslrootcert, sslcert and sslkey.
type postgresEncryption struct{ mode, host, rootCert, cert, key string }

// attempts reads the files and returns the TLS configurations of the attempts to connect, in order; nil in it means no TLS.
func (e postgresEncryption) attempts() ([]*tls.Config, error) {
	encrypted, err := e.config()
	switch {
	case err != nil:
		return nil, err
	case e.mode == "allow":
		return []*tls.Config{nil, encrypted}, nil
	case e.mode == "prefer":
		return []*tls.Config{encrypted, nil}, nil
	}
	return []*tls.Config{encrypted}, nil
}

// config reads the files and returns the TLS configuration for the mode with libpq's meaning: require, prefer and allow encrypt without
// verification; require is verify-ca if a root certificate is given (https://www.postgresql.org/docs/current/libpq-ssl.html).
// nil means no TLS. No error contains a value, which might be a password in the wrong place.
func (e postgresEncryption) config() (*tls.Config, error) {
	mode, host, rootCert, cert, key := e.mode, e.host, e.rootCert, e.cert, e.key
	if mode == "disable" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if rootCert != "" {
		pem, err := os.ReadFile(rootCert)
		if err != nil {
			return nil, fmt.Errorf("reading sslrootcert: %w", withoutPath(err))
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("reading sslrootcert: the file contains no certificate")
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("reading sslcert and sslkey: %w", withoutPath(err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch {
	case mode == "verify-full":
	case mode == "prefer" || mode == "allow" || mode == "require" && rootCert == "":
		c.InsecureSkipVerify = true
	case mode == "verify-ca" || mode == "require":
		c.InsecureSkipVerify = true // skips the host name only: VerifyConnection verifies the chain
		c.VerifyConnection = verifyChain(c.RootCAs)
	default:
		return nil, errors.New("unknown sslmode, want disable, allow, prefer, require, verify-ca or verify-full")
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

// withoutPath returns the cause of a failed file operation.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
