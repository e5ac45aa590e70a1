// Package webhook verifies that a delivery comes from the vendor it claims to come from. It is pure: it knows the
// schemes by which vendors sign, and neither the mesh, nor a database, nor a clock of its own.
//
// A Spec says how a vendor signs, Compile checks it, Scheme.Verify judges one delivery. What it refuses is refused
// without a word on why to the sender: the error is for metrics and logs. Comparisons take the same time whatever they
// compare; a signature counts in its one canonical form alone, so that every flipped bit is a refusal.
package webhook

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kind is how a vendor proves that a delivery is its own. The set is closed.
type Kind string

// The kinds.
const (
	// HMAC: a keyed digest of a payload, with a secret that both sides know.
	HMAC Kind = "hmac"
	// Hash: a plain digest of a payload that contains the secret.
	Hash Kind = "hash"
	// Ed25519 and ECDSA (P-256, SHA-256): a signature whose public key is the hook's secret.
	Ed25519 Kind = "ed25519"
	ECDSA   Kind = "ecdsa"
	// Token: the secret itself comes along and is compared.
	Token Kind = "token"
	// JWT: a token signed with the secret (HS256) or with a key of the vendor's key set (RS256, ES256).
	JWT Kind = "jwt"
)

// Spec is how a vendor signs, as a manifest says it.
type Spec struct {
	Secret    SecretSpec     `json:"secret"`
	Signature SignatureSpec  `json:"signature"`
	Timestamp *TimestampSpec `json:"timestamp"`
	// ID is where the delivery's id comes from that a payload may contain, in the notation of Source.
	ID string `json:"id"`
}

// SecretSpec is where a hook's secret comes from and how its text becomes a key.
type SecretSpec struct {
	// From is weft (weft makes it, the user hands it to the vendor), vendor (the other way round) or handshake (the
	// vendor tells it in the first delivery).
	From string `json:"from"`
	// Title and Help tell the user what to look for, or where to put it.
	Title string `json:"title"`
	Help  string `json:"help"`
	// Encoding of the key in the secret's text: text, base64 or hex; of a public key also pem.
	Encoding string `json:"encoding"`
	// Prefix is cut off the text first.
	Prefix string `json:"prefix"`
	// Form is how weft makes one: text (the default), base64 or basic (user:password).
	Form string `json:"form"`
}

// Where a secret comes from.
const (
	FromWeft      = "weft"
	FromVendor    = "vendor"
	FromHandshake = "handshake"
)

// SignatureSpec is where the signature is and what it covers.
type SignatureSpec struct {
	Kind Kind `json:"kind"`
	// In are the places of the signature, in the notation of Source; one that verifies is enough.
	In OneOrMore `json:"in"`
	// Algorithm is sha1, sha256 or sha512; of a JWT HS256, RS256 or ES256.
	Algorithm string `json:"algorithm"`
	// Encoding is hex, base64 or base64url.
	Encoding string `json:"encoding"`
	// Prefix stands before the signature, before each of a list.
	Prefix string `json:"prefix"`
	// Separator splits a list of signatures.
	Separator string `json:"separator"`
	// Pair names the signature in a list of k=v pairs, split at Separator ("," unless set).
	Pair string `json:"pair"`
	// Payload is what is signed: the body unless set.
	Payload []Part `json:"payload"`
	// BodyDigest is where a hex SHA-256 of the body stands that the payload covers: for bodies that are no form, where
	// the payload is made of form fields.
	BodyDigest string `json:"body_digest"`
	// JWKS is where a JWT's keys are.
	JWKS string `json:"jwks"`
	// Claims are what a JWT must say besides being valid.
	Claims map[string]Part `json:"claims"`
}

// TimestampSpec is where a delivery says when it was sent.
type TimestampSpec struct {
	// In is the place, in the notation of Source, or claim:NAME of a JWT.
	In string `json:"in"`
	// Unit is s (the default), ms, rfc3339 or http (as in the header Date).
	Unit string `json:"unit"`
	// Tolerance is how far from now it may lie: five minutes unless set.
	Tolerance string `json:"tolerance"`
}

// defaultTolerance is what the published schemes that name one agree on.
const defaultTolerance = 5 * time.Minute

// Part is one piece of a payload: a name (timestamp, id, body, url, method, form, secret) or a literal text.
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

// OneOrMore is a list that may be written as its only element.
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
