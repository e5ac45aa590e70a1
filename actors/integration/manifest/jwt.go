package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer" //nolint:gosec // a grant type's name
	// jwtSkew is subtracted from the time of issue, because providers reject a JWT issued in the future of their clock.
	jwtSkew = 30 * time.Second
	// jwtLifetime is the default lifetime.
	jwtLifetime = 10 * time.Minute
)

var errKey = errors.New("the connection's private key is not usable")

// jwtSigner is a compiled JWTSpec.
type jwtSigner struct {
	algorithm, grantType string
	key, keyID, claims   *tree
	lifetime             time.Duration
}

func (c *compiler) jwt(spec JWTSpec, pointer string) *jwtSigner {
	return &jwtSigner{
		algorithm: spec.Algorithm, grantType: cmp.Or(spec.GrantType, jwtBearerGrant), lifetime: cmp.Or(time.Duration(spec.Lifetime), jwtLifetime),
		key: c.optional(spec.Key, pointerTo(pointer, "key")), keyID: c.optional(spec.KeyID, pointerTo(pointer, "key_id")),
		claims: c.tree(spec.Claims, pointerTo(pointer, "claims")),
	}
}

// sign signs a JWT for a connection with the claims iat, exp and jti (id), and returns it with its expiry.
func (j *jwtSigner) sign(conn Connection, now time.Time, id string) (string, time.Time, error) {
	none := time.Time{}
	root, err := requestRoot(conn, Call{})
	if err != nil {
		return "", none, err
	}
	s := newScope(root, maxRequestValue)
	value, _, err := j.claims.eval(s)
	if err != nil {
		return "", none, fmt.Errorf("claims: %w", err)
	}
	issued := now.Add(-jwtSkew)
	until := issued.Add(j.lifetime)
	claims := jwt.MapClaims{}
	if object, ok := value.(map[string]any); ok {
		claims = object
	}
	claims["iat"], claims["exp"], claims["jti"] = issued.Unix(), until.Unix(), id
	key, method, err := j.signingKey(s)
	if err != nil {
		return "", none, err
	}
	token := jwt.NewWithClaims(method, claims)
	keyID, err := j.keyID.evalString(s)
	if err != nil {
		return "", none, fmt.Errorf("key_id: %w", err)
	}
	if keyID != "" {
		token.Header["kid"] = keyID
	}
	signed, err := token.SignedString(key)
	if err != nil {
		return "", none, errKey
	}
	return signed, until, nil
}

// signingKey parses the connection's key. Its errors do not contain the key.
func (j *jwtSigner) signingKey(s *scope) (any, jwt.SigningMethod, error) {
	text, err := j.key.evalString(s)
	if err != nil || text == "" {
		return nil, nil, errKey
	}
	var key any
	var method jwt.SigningMethod
	switch j.algorithm {
	case "RS256":
		method = jwt.SigningMethodRS256
		key, err = jwt.ParseRSAPrivateKeyFromPEM([]byte(text))
	case "ES256":
		method = jwt.SigningMethodES256
		key, err = jwt.ParseECPrivateKeyFromPEM([]byte(text))
	default:
		return []byte(text), jwt.SigningMethodHS256, nil
	}
	if err != nil {
		return nil, nil, errKey
	}
	return key, method, nil
}
