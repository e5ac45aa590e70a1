package mesh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/nats-io/nats.go"
)

// TLSFiles are the PEM files of TLS with a NATS server. They are read at every connection, so that they can be replaced.
type TLSFiles struct {
	// CA are the authorities of the servers' certificates. With it, only a server with TLS and a certificate of one of them is accepted; without
	// it, the system's authorities are used, and a connection is encrypted if the URL begins with tls:// or the server demands it.
	CA string
	// Cert and Key are the client's certificate and its key, for servers that demand one.
	Cert, Key string
}

// Options returns the options of a connection.
func (f TLSFiles) Options() (options []nats.Option) {
	if f.CA != "" {
		options = append(options, nats.RootCAs(f.CA))
	}
	if f.Cert != "" {
		options = append(options, nats.ClientCert(f.Cert, f.Key))
	}
	return options
}

// ErrTLS is returned by Connect if server and client do not agree on TLS: repeating the attempt does not help.
var ErrTLS = errors.New("TLS with NATS failed (nats.tls)")

// tlsError returns an error that is an ErrTLS if err is one of TLS, else nil.
func tlsError(err error) error {
	var remote *net.OpError
	switch {
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: the server does not encrypt, which nats.tls.ca, nats.tls.cert or tls:// in nats.url demands", ErrTLS)
	case errors.Is(err, nats.ErrTLS) || errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrTLS, err)
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert of the server (RFC 8446 §6), such as one that misses a certificate
		return fmt.Errorf("%w: the server refuses the client's certificate or has missed one (nats.tls.cert): %w", ErrTLS, err)
	}
	return nil
}
