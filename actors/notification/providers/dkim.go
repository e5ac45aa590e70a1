package providers

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/textproto"
	"slices"

	"github.com/emersion/go-msgauth/dkim"
)

// minRSA is the least size of an RSA key for DKIM in bits: RFC 8301 §3.2 demands 1024 and recommends 2048.
const minRSA = 2048

// signedHeaders are the header fields that a signature covers (RFC 6376 §5.4.1). RFC 8058 §4 demands those of lists.
var signedHeaders = []string{
	"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", headerUnsubscribe, headerUnsubscribePost,
}

// oversigned are the fields whose absence, or whose number, is signed too: a second one that is added on the way breaks the signature
// (RFC 6376 §8.15).
var oversigned = []string{"From", "Subject", "To"}

// DKIM signs mail (RFC 6376) with an RSA key or an Ed25519 key (RFC 8463).
type DKIM struct {
	Domain, Selector string

	signer crypto.Signer
}

// ParseDKIM reads a private key: PEM of PKCS #8 or PKCS #1, or the 32 bytes of an Ed25519 seed in base64.
func ParseDKIM(domain, selector, key string) (*DKIM, error) {
	signer, err := parseSigner([]byte(key))
	if err != nil {
		return nil, err
	}
	return &DKIM{Domain: domain, Selector: selector, signer: signer}, nil
}

func parseSigner(key []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		seed, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(key)))
		if err != nil || len(seed) != ed25519.SeedSize {
			return nil, errors.New("is neither a private key in PEM nor the seed of an Ed25519 key in base64")
		}
		return ed25519.NewKeyFromSeed(seed), nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return nil, errors.New("is no private key in PKCS #8 or PKCS #1")
		}
	}
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSA {
			return nil, fmt.Errorf("is an RSA key of %d bits; at least %d are needed", key.N.BitLen(), minRSA)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("is a %T; DKIM takes RSA and Ed25519", parsed)
}

// Record returns the text of the TXT record at <selector>._domainkey.<domain> (RFC 6376 §3.6.1).
func (d *DKIM) Record() (string, error) {
	switch public := d.signer.Public().(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public), nil
	default:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return "", fmt.Errorf("encoding a public key: %w", err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), nil
	}
}

// sign returns the message with a signature in front of it.
func (d *DKIM) sign(raw []byte) ([]byte, error) {
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var signed bytes.Buffer
	err := dkim.Sign(&signed, bytes.NewReader(raw), &dkim.SignOptions{
		Domain: d.Domain, Selector: d.Selector, Signer: d.signer, Hash: crypto.SHA256, HeaderKeys: keysOf(header),
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		return nil, fmt.Errorf("signing an e-mail: %w", err)
	}
	return signed.Bytes(), nil
}

// keysOf returns the fields of a header that are signed: those that exist, and once more those that are oversigned.
func keysOf(header []byte) []string {
	present := map[string]bool{}
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if name, _, ok := bytes.Cut(line, []byte(":")); ok {
			present[textproto.CanonicalMIMEHeaderKey(string(name))] = true
		}
	}
	keys := slices.DeleteFunc(slices.Clone(signedHeaders), func(name string) bool { return !present[textproto.CanonicalMIMEHeaderKey(name)] })
	return append(keys, oversigned...)
}
