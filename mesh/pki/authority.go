package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	// AuthorityLife is how long the certificate of an authority is valid.
	AuthorityLife = 10 * 365 * 24 * time.Hour
	// CertificateLife is how long a certificate is valid that an authority issues.
	CertificateLife = 365 * 24 * time.Hour
	// backdated is by how much certificates begin earlier, for machines whose clocks differ.
	backdated = 10 * time.Minute
)

// Authority is a certificate authority with its private key.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority with a new key.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating the authority's key: %w", err)
	}
	a := &Authority{key: key}
	return a.certify(pkix.Name{CommonName: name}, now)
}

// ParseAuthority reads an authority from the PEM texts of its certificate and key.
func ParseAuthority(certificate, key []byte) (*Authority, error) {
	cert, err := parseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	if !cert.IsCA {
		return nil, errors.New("reading the authority's certificate: it is not that of an authority")
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("reading the authority's key: the file has no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the authority's key: %w", err)
	}
	own, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !own.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the authority's key is not that of its certificate")
	}
	return &Authority{cert: cert, key: own}, nil
}

// Renewed returns the authority with a certificate for the same key that begins now: what it has issued remains valid under both.
func (a *Authority) Renewed(now time.Time) (*Authority, error) {
	return (&Authority{key: a.key}).certify(a.cert.Subject, now)
}

// certify makes the authority's own certificate.
func (a *Authority) certify(subject pkix.Name, now time.Time) (*Authority, error) {
	template := x509.Certificate{
		Subject: subject, NotBefore: now.Add(-backdated), NotAfter: now.Add(AuthorityLife), IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := sign(&template, &template, a.key, a.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the new certificate: %w", err)
	}
	return &Authority{cert: cert, key: a.key}, nil
}

// Certificate is the authority's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Encode returns the PEM texts of certificate and key. The key is secret.
func (a *Authority) Encode() (certificate, key []byte, err error) { return encode(a.cert.Raw, a.key) }

// Uses of a certificate.
const (
	// Server is for the server's end of a connection.
	Server = 1 << iota
	// Client is for the client's end of a connection.
	Client
)

// Request describes a certificate to issue.
type Request struct {
	// Name is the subject's common name.
	Name string
	// Hosts are the names and IP addresses at which clients reach the server.
	Hosts []string
	// Uses is Server, Client or both.
	Uses int
}

// Issue returns the PEM texts of a new certificate and its key. The certificate is valid for CertificateLife, and no longer than the
// authority's.
func (a *Authority) Issue(r Request, now time.Time) (certificate, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("creating a key: %w", err)
	}
	template := x509.Certificate{
		Subject: pkix.Name{CommonName: r.Name}, NotBefore: now.Add(-backdated), NotAfter: now.Add(CertificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: r.usages(), BasicConstraintsValid: true,
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	for _, host := range r.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := sign(&template, a.cert, own, a.key)
	if err != nil {
		return nil, nil, err
	}
	return encode(der, own)
}

func (r Request) usages() (list []x509.ExtKeyUsage) {
	if r.Uses&Server != 0 {
		list = append(list, x509.ExtKeyUsageServerAuth)
	}
	if r.Uses&Client != 0 {
		list = append(list, x509.ExtKeyUsageClientAuth)
	}
	return list
}

// Serves reports whether a certificate of this authority, in PEM, fulfils a request and is valid at now.
func (a *Authority) Serves(certificate []byte, r Request, now time.Time) bool {
	cert, err := parseCertificate(certificate)
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return false
	}
	for _, host := range r.Hosts {
		if cert.VerifyHostname(host) != nil {
			return false
		}
	}
	return slices.Equal(cert.ExtKeyUsage, r.usages())
}

// sign signs a certificate for the public key of subject.
func sign(template, parent *x509.Certificate, subject, signer *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126)) // positive and of less than 20 octets (RFC 5280 §4.1.2.2)
	if err != nil {
		return nil, fmt.Errorf("choosing a serial number: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, template, parent, subject.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return der, nil
}

func encode(der []byte, key *ecdsa.PrivateKey) (certificate, private []byte, err error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}
