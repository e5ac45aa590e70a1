package webhook

import (
	"bytes"
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

// The errors of Scheme.Verify. They are for metrics and logs and should not be sent to the sender of a delivery.
var (
	ErrNoSecret  = errors.New("the hook has no secret yet")
	ErrUnsigned  = errors.New("the delivery has no signature")
	ErrSignature = errors.New("invalid signature")
	ErrStale     = errors.New("the timestamp of the delivery is too far from now")
)

// Keys are the keys that may verify a delivery.
type Keys struct {
	// Secrets are the hook's valid secrets, newest first.
	Secrets []string
	// Public holds the provider's public keys, for schemes with JWKS.
	Public KeySet
}

// Verified is the result of a successful verification.
type Verified struct {
	// Replay is a hexadecimal SHA-256 that a delivery shares with its replays, and with nothing else: of what is signed, the time
	// included. It is "" for schemes without a time. Their deliveries of equal content are not distinguished from replays.
	Replay string
	// At is the timestamp of the delivery; zero if the scheme has none.
	At time.Time
	// Secret is the index in Keys.Secrets of the secret that verified the delivery.
	Secret int
}

// Verify verifies a delivery. The error is ErrNoSecret, ErrUnsigned, ErrSignature or ErrStale.
func (s *Scheme) Verify(r Request, keys Keys, now time.Time) (Verified, error) {
	if len(keys.Secrets) == 0 && s.needsSecret() {
		return Verified{}, ErrNoSecret
	}
	if s.kind == JWT {
		return s.verifyJWT(r, keys, now)
	}
	timestamp, err := s.timestampText(r)
	if err != nil {
		return Verified{}, err
	}
	if s.SignsID() {
		if _, ok := s.ids.read(r); !ok {
			return Verified{}, ErrUnsigned
		}
	}
	signatures := s.signatures(r)
	if len(signatures) == 0 {
		return Verified{}, ErrUnsigned
	}
	for i, secret := range keys.Secrets {
		covered, ok := s.matches(r, timestamp, secret, signatures)
		if !ok {
			continue
		}
		at, err := s.checkTime(timestamp, now)
		if err != nil {
			return Verified{}, err
		}
		return Verified{Replay: s.replayOf([]byte(timestamp+"\n"), covered), At: at, Secret: i}, nil
	}
	return Verified{}, ErrSignature
}

// needsSecret reports whether the scheme uses the hook's secret: all schemes do, except a JWT with a key set and no claim
// that contains the secret.
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

// timestampText returns the timestamp as received; "" if the scheme has none.
func (s *Scheme) timestampText(r Request) (string, error) {
	if !s.SignsTime() {
		return "", nil
	}
	if s.timestamps[0].kind == "pair" {
		for _, in := range s.in {
			if text, ok := in.read(r); ok {
				if values := pairs(text, s.separator(), s.timestamps[0].name); len(values) == 1 {
					return values[0], nil
				}
			}
		}
		return "", ErrUnsigned
	}
	text, ok := s.timestamps.read(r)
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

// maxSignatures is how many signatures of one delivery are tried.
const maxSignatures = 16

// signatures returns the candidate signatures of a delivery, without prefixes.
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
		case s.kind != Token && s.kind != JWT: // no encoding of a signature has a comma
			list = strings.Split(text, ",")
		}
		prefixed := false
		for _, one := range list {
			one, ok := strings.CutPrefix(strings.TrimSpace(one), s.spec.Prefix)
			prefixed = prefixed || ok
			if (ok || prefixed && s.spec.Separator == "") && one != "" && len(found) < maxSignatures {
				found = append(found, one)
			}
		}
	}
	return found
}

// pairs returns the values of a name in a list of key=value pairs.
func pairs(text, separator, name string) []string {
	var values []string
	for pair := range strings.SplitSeq(text, separator) {
		if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && key == name {
			values = append(values, value)
		}
	}
	return values
}

// matches reports whether one of the signatures was made with the secret, and returns what it covers.
func (s *Scheme) matches(r Request, timestamp, secret string, signatures []string) ([]byte, bool) {
	if secret == "" {
		return nil, false
	}
	if s.kind == Token {
		ok := slices.ContainsFunc(signatures, func(text string) bool { return equal(text, secret) })
		return r.Body, ok
	}
	key, err := s.Secret.key(secret)
	if err != nil || len(key) == 0 {
		return nil, false
	}
	for _, address := range s.addressForms(r.URL) {
		r.URL = address
		payload, ok := s.signedPayload(r, timestamp, secret)
		if ok && slices.ContainsFunc(signatures, func(text string) bool { return s.isSignature(text, payload, key) }) {
			return payload, true
		}
	}
	return nil, false
}

// isSignature reports whether text is the signature of the payload. Digests are compared in encoded form, so that only
// their canonical encoding is accepted.
func (s *Scheme) isSignature(text string, payload, key []byte) bool {
	switch s.kind {
	case HMAC:
		mac := hmac.New(s.newHash, key)
		mac.Write(payload)
		return equal(text, encode(s.spec.Encoding, mac.Sum(nil)))
	case Hash:
		sum := s.newHash()
		sum.Write(payload)
		return equal(text, encode(s.spec.Encoding, sum.Sum(nil)))
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

// equal compares two strings in constant time. It compares their digests, so that the lengths do not leak either.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// checkTime parses a timestamp and returns ErrStale if it is not within the tolerance of now.
func (s *Scheme) checkTime(timestamp string, now time.Time) (time.Time, error) {
	if !s.SignsTime() {
		return time.Time{}, nil
	}
	at, ok := parseTime(timestamp, s.unit)
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

// replayOf returns Verified.Replay of what is signed.
func (s *Scheme) replayOf(signed ...[]byte) string {
	if !s.SignsTime() {
		return ""
	}
	sum := sha256.Sum256(bytes.Join(signed, nil))
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

// decode is the inverse of encode. It rejects every encoding that encode does not produce.
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

// Digest returns the HMAC of a text in the given encoding, for handshakes that require one. The algorithm must be sha1,
// sha256 or sha512.
func Digest(algorithm, encoding, secret, text string) string {
	mac := hmac.New(hashes[algorithm], []byte(secret))
	mac.Write([]byte(text))
	return encode(encoding, mac.Sum(nil))
}
