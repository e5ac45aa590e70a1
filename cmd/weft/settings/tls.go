package settings

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/pki"
)

// CertificateFile is a setting that names a file of certificates.
type CertificateFile struct {
	// Setting is its path, such as nats.tls.ca.
	Setting, File string
	// KeySetting and Key are those of the key that belongs to the certificate; empty for a file of authorities.
	KeySetting, Key string
}

// Read reads the certificate, which must be valid at now and match its key. Of several authorities it returns the one that ends first. The
// error is a mesh.SettingError.
func (f CertificateFile) Read(now time.Time) (*x509.Certificate, error) {
	switch {
	case f.KeySetting == "":
		c, err := pki.CheckAuthorities(f.File, now)
		if err != nil {
			return nil, mesh.InvalidSetting(f.Setting, "is %q, which %v", f.File, err)
		}
		return c, nil
	case f.File == "":
		return nil, mesh.InvalidSetting(f.Setting, "must be set if %s is", f.KeySetting)
	case f.Key == "":
		return nil, mesh.InvalidSetting(f.KeySetting, "must be set if %s is", f.Setting)
	}
	c, err := pki.CheckPair(f.File, f.Key, now)
	if err != nil {
		return nil, mesh.InvalidSetting(f.Setting, "is %q, with %s %q: %v", f.File, f.KeySetting, f.Key, err)
	}
	return c, nil
}

// Files lists the files that are set.
func (c NATSTLSConfig) Files() (list []CertificateFile) {
	for _, f := range []CertificateFile{
		{"nats.tls.ca", c.CA, "", ""},
		{"nats.tls.cert", c.Cert, "nats.tls.key", c.Key},
		{"nats.tls.listen_cert", c.ListenCert, "nats.tls.listen_key", c.ListenKey},
		{"nats.tls.listen_client_ca", c.ListenClientCA, "", ""},
	} {
		if f.File != "" || f.Key != "" {
			list = append(list, f)
		}
	}
	return list
}

// Check reads the files that are set.
func (c NATSTLSConfig) Check(now time.Time) error {
	var errs []error
	for _, f := range c.Files() {
		_, err := f.Read(now)
		errs = append(errs, err)
	}
	if c.ListenClientCA != "" && c.ListenCert == "" {
		errs = append(errs, mesh.InvalidSetting("nats.tls.listen_client_ca", "needs nats.tls.listen_cert"))
	}
	return errors.Join(errs...)
}
