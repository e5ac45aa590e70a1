package dispatch

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// The prefixes of serialized keys (Standard Webhooks, "Signature scheme").
const (
	secretPrefix = "whsec_"
	keyPrefix    = "whsk_"
	publicPrefix = "whpk_"
)

// The sizes of HMAC secrets, in bytes (Standard Webhooks, "Signature scheme").
const (
	minSecret = 24
	newSecret = 32
	maxSecret = 64
)

// ErrSecret means that a secret has neither the form of an HMAC secret nor that of an Ed25519 key. It does not contain the secret.
var ErrSecret = errors.New("the secret is neither whsec_ with 24 to 64 bytes in Base64 nor whsk_ with an Ed25519 key in Base64")

// NewSecret returns a new secret for HMAC-SHA256 signatures (v1).
func NewSecret() string {
	secret := make([]byte, newSecret)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// NewKey returns a new secret key for Ed25519 signatures (v1a). PublicKey is what receivers verify them with.
func NewKey() string {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails (crypto/rand)
	return keyPrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed))
}

// PublicKey returns the public key of a secret key of NewKey: whpk_ and its 32 bytes in Base64. It returns ErrSecret for any other.
func PublicKey(secret string) (string, error) {
	s, err := parseSecret(secret)
	if err != nil || s.key == nil {
		return "", ErrSecret
	}
	public, _ := s.key.Public().(ed25519.PublicKey)
	return publicPrefix + base64.StdEncoding.EncodeToString(public), nil
}

// Sign returns the value of webhook-signature: one signature for each secret, separated by spaces, over `id.timestamp.payload`. It returns
// ErrSecret if there is no secret or one cannot be used.
func Sign(secrets []string, id string, at time.Time, payload []byte) (string, error) {
	signers, err := parseSecrets(secrets)
	if err != nil {
		return "", err
	}
	return sign(signers, id, strconv.FormatInt(at.Unix(), 10), payload), nil
}

// signer is a parsed secret. One of its fields is set.
type signer struct {
	hmac []byte
	key  ed25519.PrivateKey
}

func parseSecrets(secrets []string) ([]signer, error) {
	signers := make([]signer, 0, len(secrets))
	for _, secret := range secrets {
		s, err := parseSecret(secret)
		if err != nil {
			return nil, err
		}
		signers = append(signers, s)
	}
	if len(signers) == 0 {
		return nil, ErrSecret
	}
	return signers, nil
}

// parseSecret accepts an Ed25519 key of 32 bytes (RFC 8032 §5.1.5), or followed by its public key.
func parseSecret(secret string) (signer, error) {
	if text, ok := strings.CutPrefix(secret, secretPrefix); ok {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) < minSecret || len(raw) > maxSecret {
			return signer{}, ErrSecret
		}
		return signer{hmac: raw}, nil
	}
	text, ok := strings.CutPrefix(secret, keyPrefix)
	if !ok {
		return signer{}, ErrSecret
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return signer{}, ErrSecret
	}
	key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !key.Equal(ed25519.PrivateKey(raw)) {
		return signer{}, ErrSecret // the halves do not belong together
	}
	return signer{key: key}, nil
}

func sign(signers []signer, id, timestamp string, payload []byte) string {
	content := make([]byte, 0, len(id)+len(timestamp)+len(payload)+2)
	content = append(append(append(append(append(content, id...), '.'), timestamp...), '.'), payload...)
	var signatures strings.Builder
	for i, s := range signers {
		if i > 0 {
			signatures.WriteByte(' ')
		}
		if s.key != nil {
			signatures.WriteString("v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, content)))
			continue
		}
		mac := hmac.New(sha256.New, s.hmac)
		mac.Write(content)
		signatures.WriteString("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return signatures.String()
}
