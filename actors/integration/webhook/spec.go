// Package webhook verifies the signatures of webhook deliveries. It has no side effects: it uses neither the mesh nor a
// database, and the caller passes the current time.
//
// A Spec describes how a provider signs its deliveries. Compile validates a Spec and returns a Scheme, whose Verify
// method accepts or rejects one delivery. The error of Verify is meant for metrics and logs; the sender should only
// learn that the delivery was rejected. Secrets and digests are compared in constant time, and only the canonical
// encoding of a signature is accepted, so that changing any bit of it makes verification fail.
package webhook

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kind is the type of a signature scheme. The set is closed.
type Kind string

// The kinds.
const (
	// HMAC is a keyed digest (RFC 2104) of a payload, with a shared secret.
	HMAC Kind = "hmac"
	// Hash is an unkeyed digest of a payload that contains the shared secret.
	Hash Kind = "hash"
	// Ed25519 and ECDSA (P-256 with SHA-256) are signatures of a payload. The hook's secret is the provider's public key.
	Ed25519 Kind = "ed25519"
	ECDSA   Kind = "ecdsa"
	// Token is the secret itself, sent with each delivery. Nothing of the delivery is signed.
	Token Kind = "token"
	// JWT is a JSON Web Token (RFC 7519), signed with the secret (HS256) or with a key of the provider's key set (RS256,
	// ES256). It authenticates the sender and does not cover the body.
	JWT Kind = "jwt"
)

// Spec describes how a provider signs deliveries, as written in a manifest.
type Spec struct {
	Secret    SecretSpec     `json:"secret"`
	Signature SignatureSpec  `json:"signature"`
	Timestamp *TimestampSpec `json:"timestamp"`
	// ID is the place of the delivery id, for payloads that contain it, or several, of which the first that is there counts. See source
	// for the notation.
	ID OneOrMore `json:"id"`
}

// SecretSpec says who creates a hook's secret and how its text is decoded to a key.
type SecretSpec struct {
	// From is FromWeft, FromProvider or FromHandshake.
	From string `json:"from"`
	// Title is the provider's name for the secret. Help tells the user where to find it or where to enter it.
	Title string `json:"title"`
	Help  string `json:"help"`
	// Encoding is the encoding of the key within the secret: text (the default), base64 or hex, and for public keys also
	// pem.
	Encoding string `json:"encoding"`
	// Prefix is removed from the secret before it is decoded.
	Prefix string `json:"prefix"`
	// Form is the format in which weft generates a secret: text (the default), base64, or basic (user:password).
	Form string `json:"form"`
}

// The values of SecretSpec.From.
const (
	// FromWeft means that weft generates the secret and the user enters it at the provider.
	FromWeft = "weft"
	// FromProvider means that the provider generates the secret and the user gives it to weft.
	FromProvider = "provider"
	// FromHandshake means that the provider sends the secret in its first delivery.
	FromHandshake = "handshake"
)

// SignatureSpec says where a delivery carries its signature and what the signature covers.
type SignatureSpec struct {
	Kind Kind `json:"kind"`
	// In lists the places of the signature (see source for the notation). One valid signature is enough.
	In OneOrMore `json:"in"`
	// Algorithm is sha1, sha256 or sha512 for HMAC and Hash, and HS256, RS256 or ES256 for JWT.
	Algorithm string `json:"algorithm"`
	// Encoding of the signature is hex (the default), base64 or base64url.
	Encoding string `json:"encoding"`
	// Prefix is removed from the signature, or from each signature of a list. Signatures without it are ignored.
	Prefix string `json:"prefix"`
	// Separator splits a list of signatures. Unless set, a signature may be a list with commas, as some providers send while a secret is
	// being rotated: v0=NEW,v0=OLD or v0=NEW,OLD.
	Separator string `json:"separator"`
	// Pair is the key of the signature in a list of key=value pairs, split at Separator (default ",").
	Pair string `json:"pair"`
	// Payload is the concatenation that is signed. Default: the body.
	Payload []Part `json:"payload"`
	// BodyDigest is the place of a hexadecimal SHA-256 of the body, for payloads made of form fields: it covers bodies
	// that are not forms. The payload must cover the place.
	BodyDigest string `json:"body_digest"`
	// JWKS is the address of the key set (RFC 7517) of an RS256 or ES256 JWT.
	JWKS string `json:"jwks"`
	// Claims are the values that claims of a valid JWT must have.
	Claims map[string]Part `json:"claims"`
}

// TimestampSpec says where a delivery carries the time at which it was sent.
type TimestampSpec struct {
	// In is the place of the timestamp (see source for the notation), or claim:NAME for a claim of a JWT; or several places, of which the
	// first that is there counts.
	In OneOrMore `json:"in"`
	// Unit is s (Unix seconds, the default), ms (Unix milliseconds), rfc3339 or http (RFC 9110, section 5.6.7).
	Unit string `json:"unit"`
	// Tolerance is the greatest accepted distance from now, in either direction, as a Go duration. Default: 5m.
	Tolerance string `json:"tolerance"`
}

// defaultTolerance is the tolerance that most providers document.
const defaultTolerance = 5 * time.Minute

// Part is one part of a signed payload: either the name of a property of the delivery (timestamp, id, body, url, method,
// form or secret) or a literal text.
type Part struct {
	Name string
	Text string
}

// UnmarshalJSON reads "body" or {"text": "v0:"}.
func (p *Part) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &p.Name); err == nil {
		return nil
	}
	var literal struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &literal); err != nil {
		return fmt.Errorf("reading a payload's part: %w", err)
	}
	p.Text = literal.Text
	return nil
}

// OneOrMore is a list of strings. In JSON, a list of one element may be written as the element alone.
type OneOrMore []string

// UnmarshalJSON reads "x" or ["x", "y"].
func (l *OneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*l = OneOrMore{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return fmt.Errorf("reading a list: %w", err)
	}
	*l = many
	return nil
}
