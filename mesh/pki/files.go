package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// RenewBefore returns when a certificate should be renewed: when a third of its life is left.
func RenewBefore(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3)
}

// CheckAuthorities reads a PEM file with the certificates of authorities and returns the one that ends first. At least one must be valid
// at now. Errors do not repeat the path.
func CheckAuthorities(file string, now time.Time) (*x509.Certificate, error) {
	list, err := readCertificates(file)
	if err != nil {
		return nil, err
	}
	var first *x509.Certificate
	for _, c := range list {
		if !c.IsCA {
			return nil, fmt.Errorf("has the certificate of %q, which is not that of an authority", c.Subject.CommonName)
		}
		if checkTime(c, now) == nil && (first == nil || c.NotAfter.Before(first.NotAfter)) {
			first = c
		}
	}
	if first == nil {
		return nil, checkTime(list[0], now)
	}
	return first, nil
}

// CheckPair reads the PEM files of a certificate and of its key, which must match, and returns the certificate, which must be valid at now.
// Errors do not repeat the paths.
func CheckPair(certFile, keyFile string, now time.Time) (*x509.Certificate, error) {
	list, err := readCertificates(certFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate %w", err)
	}
	if _, err := os.ReadFile(filepath.Clean(keyFile)); err != nil {
		return nil, fmt.Errorf("the key %w", unreadable(err))
	}
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		return nil, fmt.Errorf("certificate and key do not match: %w", unreadable(err))
	}
	return list[0], checkTime(list[0], now)
}

func checkTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("has ended: it was valid until %s", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not valid yet: it begins at %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// readCertificates reads the certificates of a PEM file, which has at least one.
func readCertificates(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, unreadable(err)
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("is invalid: %w", err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("has no certificate in PEM")
	}
	return list, nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the file has no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// unreadable returns the cause of a failed file operation as the end of a sentence.
func unreadable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("cannot be read: %w", path.Err)
	}
	return err
}
