package embedded

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weftmesh/weft/mesh/pki"
)

// Certificates of a cluster, in files <name>.crt and <name>.key.
const (
	// caFile has the certificate of the authority. It is in the folder of keys, and in that of each server.
	caFile = "ca.crt"
	caKey  = "ca.key"
	// serverCert is for clients' connections, routeCert for those between servers, and clientCert that of weft's processes.
	serverCert = "server"
	routeCert  = "route"
	clientCert = "client"
	crtSuffix  = ".crt"
	keySuffix  = ".key"
)

// Names of what clients of a cluster need for TLS, in the folder of keys.
const (
	// ClientCA is the file of the authority's certificate.
	ClientCA = caFile
	// ClientCert and ClientKey are the clients' certificate and key, if the servers demand one.
	ClientCert = clientCert + crtSuffix
	ClientKey  = clientCert + keySuffix
)

// certify writes the certificates of a cluster. Existing ones are kept if they serve and are not due for renewal.
func (c *ClusterFolder) certify(o ClusterOptions) error {
	authority, err := c.authority(o)
	if err != nil {
		return err
	}
	certificate, _, err := authority.Encode()
	if err != nil {
		return err
	}
	for _, m := range o.Members {
		dir := filepath.Join(c.Dir, m.Name, tlsFolder)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("creating the folder of certificates: %w", err)
		}
		if err := write(filepath.Join(dir, caFile), certificate, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", caFile, err)
		}
		hosts := []string{m.Host}
		local := []string{"localhost", "127.0.0.1", "::1"} // clients on the same machine
		err := c.issue(authority, o, filepath.Join(dir, serverCert), pki.Request{Name: m.Name, Hosts: append(local, hosts...), Uses: pki.Server})
		if err == nil {
			err = c.issue(authority, o, filepath.Join(dir, routeCert), pki.Request{Name: m.Name, Hosts: hosts, Uses: pki.Server | pki.Client})
		}
		if err != nil {
			return err
		}
	}
	if o.TLS == TLSMutual {
		if err := c.issue(authority, o, filepath.Join(c.Keys, clientCert), pki.Request{Name: "weft", Uses: pki.Client}); err != nil {
			return err
		}
	}
	return write(filepath.Join(c.Keys, caFile), certificate, 0o644)
}

// authority reads the certificate authority, and makes it if there is none.
func (c *ClusterFolder) authority(o ClusterOptions) (*pki.Authority, error) {
	certFile, keyFile := filepath.Join(c.Dir, authorityFolder, caFile), filepath.Join(c.Dir, authorityFolder, caKey)
	certificate, err := os.ReadFile(filepath.Clean(certFile))
	key, keyErr := os.ReadFile(filepath.Clean(keyFile))
	if errors.Is(err, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		made, err := pki.NewAuthority("weft cluster "+o.Name, o.Now)
		if err != nil {
			return nil, err
		}
		return made, c.writeAuthority(made, certFile, keyFile)
	}
	if err := errors.Join(err, keyErr); err != nil {
		return nil, fmt.Errorf("reading the cluster's authority: %w", err)
	}
	authority, err := pki.ParseAuthority(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(c.Dir, authorityFolder), err)
	}
	if o.Now.Before(pki.RenewBefore(authority.Certificate())) {
		return authority, nil
	}
	if !o.Renew {
		c.Due = append(c.Due, certFile)
		return authority, nil
	}
	renewed, err := authority.Renewed(o.Now)
	if err != nil {
		return nil, err
	}
	return renewed, c.writeAuthority(renewed, certFile, keyFile)
}

func (c *ClusterFolder) writeAuthority(a *pki.Authority, certFile, keyFile string) error {
	c.Issued = append(c.Issued, certFile)
	certificate, key, err := a.Encode()
	if err == nil {
		err = write(keyFile, key, 0o600)
	}
	if err == nil {
		err = write(certFile, certificate, 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the cluster's authority: %w", err)
	}
	return nil
}

// issue writes a certificate and its key, unless there is one that serves and is not to be renewed.
func (c *ClusterFolder) issue(a *pki.Authority, o ClusterOptions, path string, r pki.Request) error {
	existing, err := os.ReadFile(filepath.Clean(path + crtSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading a certificate: %w", err)
	}
	_, keyErr := os.Stat(path + keySuffix)
	if err == nil && keyErr == nil && a.Serves(existing, r, o.Now) {
		if isDue := dueFrom(existing, o); !isDue {
			return nil
		} else if !o.Renew {
			c.Due = append(c.Due, path+crtSuffix)
			return nil
		}
	}
	certificate, key, err := a.Issue(r, o.Now)
	if err == nil {
		err = write(path+keySuffix, key, 0o600)
	}
	if err == nil {
		err = write(path+crtSuffix, certificate, 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	c.Issued = append(c.Issued, path+crtSuffix)
	return nil
}

// dueFrom reports whether a third of a certificate's life or less is left.
func dueFrom(certificate []byte, o ClusterOptions) bool {
	block, _ := pem.Decode(certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	return err != nil || !o.Now.Before(pki.RenewBefore(cert))
}
