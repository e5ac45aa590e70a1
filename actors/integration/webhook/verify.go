package webhook

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The refusals. Which one it was is for metrics and logs; a sender learns that it was refused.
var (
	ErrNoSecret  = errors.New("the hook has no secret yet")
	ErrUnsigned  = errors.New("the delivery carries no signature")
	ErrSignature = errors.New("the signature does not verify")
	ErrStale     = errors.New("the delivery is too old, or from the future")
)

// Keys are what a delivery is verified with.
type Keys struct {
	// Secrets are those that are alive, the newest first.
	Secrets []string
	// Public are the vendor's, for schemes with JWKS.
	Public KeySet
}

// Verified is what is known of a delivery that passed.
type Verified struct {
	// Digest tells two deliveries apart by what their signatures cover.
	Digest string
	// At is when the vendor says it sent it; zero where it does not say.
	At time.Time
	// Secret is which of Keys.Secrets verified.
	Secret int
}

// Verify judges a delivery. The error is one of the refusals.
func (s *Scheme) Verify(r Request, keys Keys, now time.Time) (Verified, error) {
	if len(keys.Secrets) == 0 && s.needsSecret() {
		return Verified{}, ErrNoSecret
	}
	if s.kind == JWT {
		return s.verifyJWT(r, keys, now)
	}
	stamp, err := s.stamp(r)
	if err != nil {
		return Verified{}, err
	}
	if s.SignsID() {
		if _, ok := s.id.read(r); !ok {
			return Verified{}, ErrUnsigned
		}
	}
	signatures := s.signatures(r)
	if len(signatures) == 0 {
		return Verified{}, ErrUnsigned
	}
	for i, secret := range keys.Secrets {
		covered, ok := s.matches(r, stamp, secret, signatures)
		if !ok {
			continue
		}
		at, err := s.fresh(stamp, now)
		if err != nil {
			return Verified{}, err
		}
		return Verified{Digest: digestOf(covered), At: at, Secret: i}, nil
	}
	return Verified{}, ErrSignature
}

// needsSecret tells a scheme whose key set alone does not do.
func (s *Scheme) needsSecret() bool {
	if s.JWKS == "" {
		return true
	}
	for _, claim := range s.spec.Claims {
		if claim.Name == "secret" {
			return true
		}
	}
	return false
}

// stamp is the timestamp as it was written; empty where the scheme has none.
func (s *Scheme) stamp(r Request) (string, error) {
	if s.timestamp == nil {
		return "", nil
	}
	if s.timestamp.kind == "pair" {
		for _, in := range s.in {
			if text, ok := in.read(r); ok {
				if values := pairs(text, s.separator(), s.timestamp.name); len(values) == 1 {
					return values[0], nil
				}
			}
		}
		return "", ErrUnsigned
	}
	text, ok := s.timestamp.read(r)
	if !ok {
		return "", ErrUnsigned
	}
	return text, nil
}

func (s *Scheme) separator() string {
	if s.spec.Separator == "" {
		return ","
	}
	return s.spec.Separator
}

// maxSignatures bounds how many a delivery may make weft try.
const maxSignatures = 16

// signatures are the candidates, without what stands around them.
func (s *Scheme) signatures(r Request) []string {
	var found []string
	for _, in := range s.in {
		text, ok := in.read(r)
		if !ok {
			continue
		}
		list := []string{text}
		switch {
		case s.spec.Pair != "":
			list = pairs(text, s.separator(), s.spec.Pair)
		case s.spec.Separator != "":
			list = strings.Split(text, s.spec.Separator)
		}
		for _, one := range list {
			one, ok := strings.CutPrefix(strings.TrimSpace(one), s.spec.Prefix)
			if ok && one != "" && len(found) < maxSignatures {
				found = append(found, one)
			}
		}
	}
	return found
}

// pairs are the values of a name in a list of k=v.
func pairs(text, separator, name string) []string {
	var values []string
	for pair := range strings.SplitSeq(text, separator) {
		if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && key == name {
			values = append(values, value)
		}
	}
	return values
}

// matches tells whether one of the signatures is the secret's, and what it covers.
func (s *Scheme) matches(r Request, stamp, secret string, signatures []string) ([]byte, bool) {
	if secret == "" {
		return nil, false
	}
	if s.kind == Token {
		ok := slices.ContainsFunc(signatures, func(text string) bool { return sameText(text, secret) })
		return r.Body, ok
	}
	key, err := s.Secret.key(secret)
	if err != nil || len(key) == 0 {
		return nil, false
	}
	for _, address := range s.addresses(r.URL) {
		r.URL = address
		payload, ok := s.compose(r, stamp, secret)
		if ok && slices.ContainsFunc(signatures, func(text string) bool { return s.signed(payload, key, text) }) {
			return payload, true
		}
	}
	return nil, false
}

// signed tells whether text is the payload's signature. For an HMAC the text itself is compared, not what it decodes
// to: there is one way to write a digest.
func (s *Scheme) signed(payload, key []byte, text string) bool {
	switch s.kind {
	case HMAC:
		mac := hmac.New(s.newHash, key)
		mac.Write(payload)
		return sameText(text, encode(s.spec.Encoding, mac.Sum(nil)))
	case Hash:
		sum := s.newHash()
		sum.Write(payload)
		return sameText(text, encode(s.spec.Encoding, sum.Sum(nil)))
	}
	signature, ok := decode(s.spec.Encoding, text)
	if !ok {
		return false
	}
	if s.kind == Ed25519 {
		return len(key) == ed25519.PublicKeySize && len(signature) == ed25519.SignatureSize && ed25519.Verify(key, payload, signature)
	}
	public, err := parseECDSA(key)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(payload)
	return ecdsa.VerifyASN1(public, sum[:], signature)
}

// sameText compares digests of the texts, so that not even their lengths show in the time it takes.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// fresh reads a timestamp and refuses one that lies too far from now.
func (s *Scheme) fresh(stamp string, now time.Time) (time.Time, error) {
	if s.timestamp == nil {
		return time.Time{}, nil
	}
	at, ok := parseTime(stamp, s.unit)
	if !ok {
		return time.Time{}, ErrStale
	}
	if d := now.Sub(at); d > s.tolerance || d < -s.tolerance {
		return time.Time{}, ErrStale
	}
	return at, nil
}

func parseTime(text, unit string) (time.Time, bool) {
	switch unit {
	case "rfc3339":
		at, err := time.Parse(time.RFC3339, text)
		return at, err == nil
	case "http":
		at, err := time.Parse(http.TimeFormat, text)
		return at, err == nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, false
	}
	if unit == "ms" {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), n < 1<<40
}

func digestOf(covered []byte) string {
	sum := sha256.Sum256(covered)
	return hex.EncodeToString(sum[:])
}

func encode(encoding string, data []byte) string {
	switch encoding {
	case "base64":
		return base64.StdEncoding.EncodeToString(data)
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return hex.EncodeToString(data)
}

// decode is encode's inverse: what encode would not have written is refused.
func decode(encoding, text string) ([]byte, bool) {
	var data []byte
	var err error
	switch encoding {
	case "base64":
		data, err = base64.StdEncoding.Strict().DecodeString(text)
	case "base64url":
		data, err = base64.RawURLEncoding.Strict().DecodeString(text)
	default:
		data, err = hex.DecodeString(text)
	}
	return data, err == nil && encode(encoding, data) == text
}

// Digest is the keyed digest of a text, for handshakes that ask for one.
func Digest(algorithm, encoding, secret, text string) string {
	mac := hmac.New(hashes[algorithm], []byte(secret))
	mac.Write([]byte(text))
	return encode(encoding, mac.Sum(nil))
}
