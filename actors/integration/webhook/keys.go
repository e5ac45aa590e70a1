package webhook

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxSecret is the greatest length of a secret, in bytes.
const MaxSecret = 4096

// Check returns an error for a secret with which no delivery could be verified. The error does not contain the secret.
func (s *Scheme) Check(secret string) error {
	key, err := s.Secret.key(secret)
	switch {
	case len(secret) > MaxSecret:
		return errors.New("is too long")
	case err != nil:
		return err
	case len(key) == 0:
		return errors.New("is empty")
	case s.kind == Ed25519 && len(key) != 32:
		return errors.New("is not an Ed25519 public key of 32 bytes")
	case s.kind == ECDSA:
		_, err = parseECDSA(key)
		return err
	}
	return nil
}

// key decodes a secret to the key that it contains.
func (s SecretSpec) key(text string) ([]byte, error) {
	text = strings.TrimPrefix(text, s.Prefix)
	switch s.Encoding {
	case "base64":
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New("is not base64")
		}
		return key, nil
	case "hex":
		key, err := hex.DecodeString(text)
		if err != nil {
			return nil, errors.New("is not hex")
		}
		return key, nil
	case "pem":
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil, errors.New("is not PEM")
		}
		return block.Bytes, nil
	}
	return []byte(text), nil
}

// parseECDSA parses a P-256 public key in DER (SubjectPublicKeyInfo, RFC 5280).
func parseECDSA(der []byte) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("is not a public key")
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("is not a P-256 public key")
	}
	return public, nil
}

// KeySet holds a provider's public keys by key id.
type KeySet map[string]crypto.PublicKey

// ParseKeySet parses a JWK set (RFC 7517). It keeps RSA keys of 2048 to 8192 bits and P-256 keys, and ignores others. A set
// without a usable key is an error.
func ParseKeySet(data []byte) (KeySet, error) {
	var document struct {
		Keys []struct{ Kid, Kty, Crv, N, E, X, Y string } `json:"keys"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, byteOrderMark), &document); err != nil {
		return nil, fmt.Errorf("parsing key set: %w", err)
	}
	set := KeySet{}
	for _, k := range document.Keys {
		switch {
		case k.Kty == "RSA":
			n, e := bigInt(k.N), bigInt(k.E)
			if n != nil && e != nil && n.BitLen() >= 2048 && n.BitLen() <= 8192 && e.IsInt64() && e.Int64() > 2 && e.Int64() < 1<<31 {
				set[k.Kid] = &rsa.PublicKey{N: n, E: int(e.Int64())}
			}
		case k.Kty == "EC" && k.Crv == "P-256":
			x, y := bigInt(k.X), bigInt(k.Y)
			if x == nil || y == nil || x.BitLen() > 256 || y.BitLen() > 256 {
				continue
			}
			point := append([]byte{4}, append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)...)
			if public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil {
				set[k.Kid] = public
			}
		}
	}
	if len(set) == 0 {
		return nil, errors.New("parsing key set: no usable key")
	}
	return set, nil
}

// bigInt decodes a Base64urlUInt (RFC 7518, section 2); nil if text is not one.
func bigInt(text string) *big.Int {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(data)
}

// jwtLeeway is the tolerated difference between the provider's clock and ours.
const jwtLeeway = time.Minute

// verifyJWT verifies the token of a delivery: its algorithm, its times, and the claims that the scheme requires.
func (s *Scheme) verifyJWT(r Request, keys Keys, now time.Time) (Verified, error) {
	signatures := s.signatures(r)
	if len(signatures) != 1 {
		return Verified{}, ErrUnsigned
	}
	secrets := keys.Secrets
	if !s.needsSecret() {
		secrets = []string{""}
	}
	for i, secret := range secrets {
		claims, err := s.parseJWT(signatures[0], secret, keys.Public, now)
		if errors.Is(err, jwt.ErrTokenExpired) || errors.Is(err, jwt.ErrTokenNotValidYet) || errors.Is(err, jwt.ErrTokenUsedBeforeIssued) {
			return Verified{}, ErrStale
		}
		if err != nil || !s.claimsMatch(claims, r, secret) {
			continue
		}
		at, err := s.claimedTime(claims, now)
		if err != nil {
			return Verified{}, err
		}
		return Verified{Replay: s.replayOf([]byte(signatures[0]+"\n"), r.Body), At: at, Secret: i}, nil
	}
	return Verified{}, ErrSignature
}

func (s *Scheme) parseJWT(token, secret string, public KeySet, now time.Time) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{s.spec.Algorithm}), jwt.WithStrictDecoding(), jwt.WithLeeway(jwtLeeway), jwt.WithIssuedAt(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	}
	if !s.SignsTime() {
		options = append(options, jwt.WithExpirationRequired())
	}
	_, err := jwt.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if t.Header["crit"] != nil {
			return nil, errors.New("critical headers are not supported") // RFC 7515, section 4.1.11
		}
		if s.spec.Algorithm == "HS256" {
			return s.Secret.key(secret)
		}
		id, _ := t.Header["kid"].(string)
		key, ok := public[id]
		if !ok {
			return nil, errors.New("unknown key id")
		}
		return key, nil
	}, options...)
	return claims, err
}

// claimsMatch reports whether a token has every claim that the scheme requires.
func (s *Scheme) claimsMatch(claims jwt.MapClaims, r Request, secret string) bool {
	for name, want := range s.spec.Claims {
		text := want.Text
		switch want.Name {
		case "url":
			text, _, _ = strings.Cut(r.URL, "?")
		case "secret":
			text = secret
		}
		got, ok := claims[name].(string)
		if !ok {
			if list, _ := claims[name].([]any); len(list) == 1 {
				got, ok = list[0].(string)
			}
		}
		if !ok || text == "" || !equal(got, text) {
			return false
		}
	}
	return true
}

// claimedTime returns the time of the claim that the scheme uses as timestamp; zero if it uses none.
func (s *Scheme) claimedTime(claims jwt.MapClaims, now time.Time) (time.Time, error) {
	if !s.SignsTime() {
		return time.Time{}, nil
	}
	seconds, ok := claims[s.timestamps[0].name].(float64)
	if !ok || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, ErrStale
	}
	at := time.Unix(int64(seconds), 0)
	if d := now.Sub(at); d > s.tolerance || d < -s.tolerance {
		return time.Time{}, ErrStale
	}
	return at, nil
}

// KeyID returns the key id (kid) in the header of a delivery's token, without verifying it; "" if there is none.
func (s *Scheme) KeyID(r Request) string {
	signatures := s.signatures(r)
	if s.kind != JWT || len(signatures) != 1 {
		return ""
	}
	t, _, err := jwt.NewParser().ParseUnverified(signatures[0], jwt.MapClaims{})
	if err != nil {
		return ""
	}
	id, _ := t.Header["kid"].(string)
	return id
}
