package extension

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// The types (typ) of the signatures of calls and of cancellations.
const (
	typeCall   = "weft-call+jwt"
	typeCancel = "weft-cancel+jwt"
)

// keyPurpose is what the signing key is derived for.
const keyPurpose = "calls of extensions"

// Claims are what weft signs of a call: who calls what, for whom, under which consent, until when, and the digest of the payload.
type Claims struct {
	Issuer string `json:"iss"`
	// Audience is the subject of the function.
	Audience string `json:"aud"`
	// UserID is the user whom the call is made for.
	UserID string `json:"sub"`
	// ID is the attempt's id, the header Weft-Call-Id.
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	CallKey   string `json:"call_key"`
	// ConsentID and Scope are the consent under which the call is made.
	ConsentID   string `json:"consent_id,omitempty"`
	Scope       string `json:"scope,omitempty"`
	ExecutionID string `json:"execution_id"`
	WorkflowID  string `json:"workflow_id,omitempty"`
	// Version is the function's version.
	Version string `json:"function_version,omitempty"`
	// Deadline is the header Weft-Deadline, Trace the header traceparent.
	Deadline string `json:"deadline,omitempty"`
	Trace    string `json:"traceparent,omitempty"`
	// Payload is the SHA-256 of the payload, in base64url without padding.
	Payload string `json:"payload_sha256"`
}

// signer signs calls. All processes of the actor have the same key.
type signer struct {
	key ed25519.PrivateKey
	id  string
}

func newSigner(conn *mesh.Conn) (*signer, error) {
	seed, err := conn.DeriveKey(keyPurpose)
	if err != nil {
		return nil, err
	}
	s := &signer{key: ed25519.NewKeyFromSeed(seed)}
	// The thumbprint of the key (RFC 7638 §3, RFC 8037 §2).
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":%q}`, s.x()))
	s.id = base64.RawURLEncoding.EncodeToString(sum[:])
	return s, nil
}

// x is the public key as a JSON Web Key has it.
func (s *signer) x() string {
	public, _ := s.key.Public().(ed25519.PublicKey)
	return base64.RawURLEncoding.EncodeToString(public)
}

// jwk is the public key as a JSON Web Key (RFC 8037 §2).
func (s *signer) jwk() subjects.ExtensionKey {
	return subjects.ExtensionKey{KeyType: "OKP", Curve: "Ed25519", X: s.x(), KeyID: s.id, Use: "sig", Algorithm: "EdDSA"}
}

// sign signs claims and the payload as a compact JWS.
func (s *signer) sign(typ string, claims Claims, payload []byte) (string, error) {
	sum := sha256.Sum256(payload)
	claims.Payload = base64.RawURLEncoding.EncodeToString(sum[:])
	return mesh.SignJWS(typ, s.id, claims, s.key)
}
