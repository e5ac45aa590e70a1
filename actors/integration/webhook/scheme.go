package webhook

import (
	"crypto/sha1" //nolint:gosec // what Twilio, Trello and Intercom sign with
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Scheme is a compiled Spec. It is immutable and safe for concurrent use.
type Scheme struct {
	// Secret is the Spec's.
	Secret SecretSpec
	// JWKS is where the vendor's public keys are; empty where the hook's secret is all that is needed.
	JWKS string

	kind       Kind
	in         []source
	newHash    func() hash.Hash
	spec       SignatureSpec
	payload    []Part
	bodyDigest *source
	id         *source
	timestamp  *source
	unit       string
	tolerance  time.Duration
}

var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

var parts = []string{"timestamp", "id", "body", "url", "method", "form", "secret"}

// Compile checks a Spec; each thing wrong with it is told to fault, with a JSON pointer below the Spec.
func Compile(spec Spec, fault func(pointer, format string, args ...any)) *Scheme {
	s := &Scheme{
		Secret: spec.Secret, JWKS: spec.Signature.JWKS, kind: spec.Signature.Kind, spec: spec.Signature,
		payload: spec.Signature.Payload, tolerance: defaultTolerance,
	}
	place := func(text, pointer string) *source {
		made, err := compileSource(text)
		if err != nil {
			fault(pointer, "%v", err)
		}
		return &made
	}
	for _, text := range spec.Signature.In {
		s.in = append(s.in, *place(text, "/signature/in"))
	}
	if spec.ID != "" {
		s.id = place(spec.ID, "/id")
	}
	if spec.Signature.BodyDigest != "" {
		s.bodyDigest = place(spec.Signature.BodyDigest, "/signature/body_digest")
	}
	if t := spec.Timestamp; t != nil {
		s.timestamp, s.unit = place(t.In, "/timestamp/in"), t.Unit
		if t.Tolerance != "" {
			tolerance, err := time.ParseDuration(t.Tolerance)
			if err != nil {
				fault("/timestamp/tolerance", "%v", err)
			}
			s.tolerance = tolerance
		}
	}
	if len(s.payload) == 0 {
		s.payload = []Part{{Name: "body"}}
	}
	s.check(fault)
	return s
}

// check refuses what would let something in unsigned.
func (s *Scheme) check(fault func(pointer, format string, args ...any)) {
	for i, part := range s.payload {
		if part.Text == "" && !slices.Contains(parts, part.Name) {
			fault(fmt.Sprintf("/signature/payload/%d", i), "is one of %s, or {text: …}", strings.Join(parts, ", "))
		}
	}
	signs := s.kind == HMAC || s.kind == Hash || s.kind == Ed25519 || s.kind == ECDSA
	if signs && !s.covers("body") && (!s.covers("form") || s.bodyDigest == nil && !s.covers("url")) {
		fault("/signature/payload", "does not cover the body")
	}
	switch {
	case s.covers("timestamp") && s.timestamp == nil:
		fault("/signature/payload", "has a timestamp that stands nowhere")
	case signs && s.timestamp != nil && s.timestamp.kind != "body" && !s.covers("timestamp"):
		fault("/timestamp", "is not signed")
	case s.covers("id") && s.id == nil:
		fault("/signature/payload", "has an id that stands nowhere")
	}
	switch s.kind {
	case HMAC, Hash:
		if s.newHash = hashes[s.spec.Algorithm]; s.newHash == nil {
			fault("/signature/algorithm", "is one of sha1, sha256, sha512")
		}
		if s.kind == Hash && !s.covers("secret") || s.kind == HMAC && s.covers("secret") {
			fault("/signature/payload", "a hash covers the secret, an hmac does not")
		}
	case JWT:
		s.checkJWT(fault)
	}
}

func (s *Scheme) checkJWT(fault func(pointer, format string, args ...any)) {
	switch s.spec.Algorithm {
	case "HS256":
		if s.JWKS != "" {
			fault("/signature/jwks", "HS256 has no public keys")
		}
	case "RS256", "ES256":
		if u, err := url.Parse(s.JWKS); err != nil || u.Scheme != "https" || u.Host == "" {
			fault("/signature/jwks", "is an https address")
		}
		if len(s.spec.Claims) == 0 {
			fault("/signature/claims", "are needed: anybody can get the vendor to sign a token of their own")
		}
	default:
		fault("/signature/algorithm", "is one of HS256, RS256, ES256")
	}
}

func (s *Scheme) covers(part string) bool {
	return slices.ContainsFunc(s.payload, func(p Part) bool { return p.Text == "" && p.Name == part })
}

// SignsTime reports whether an old delivery is refused for its age.
func (s *Scheme) SignsTime() bool { return s.timestamp != nil }

// Tolerance is how old a delivery may be where SignsTime.
func (s *Scheme) Tolerance() time.Duration { return s.tolerance }

// SignsID reports whether the id of ID is covered by the signature.
func (s *Scheme) SignsID() bool { return s.id != nil && s.covers("id") }

// InQuery is the query parameter that the secret itself comes in; empty where it does not.
func (s *Scheme) InQuery() string {
	if s.kind == Token && len(s.in) == 1 && s.in[0].kind == "query" {
		return s.in[0].name
	}
	return ""
}
