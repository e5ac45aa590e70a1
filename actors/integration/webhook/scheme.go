package webhook

import (
	"crypto/sha1" //nolint:gosec // Twilio, Trello and Intercom sign with HMAC-SHA1
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
	// JWKS is the address of the provider's public keys; "" if deliveries are verified with the hook's secret alone.
	JWKS string

	kind       Kind
	in         []source
	newHash    func() hash.Hash
	spec       SignatureSpec
	payload    []Part
	bodyDigest *source
	// ids and timestamps are alternatives.
	ids, timestamps sources
	unit            string
	tolerance       time.Duration
}

var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

var parts = []string{"timestamp", "id", "body", "url", "method", "form", "secret"}

// Compile validates a Spec. It calls fault for each error, with a JSON pointer relative to the Spec. The Scheme must not be
// used if there was an error.
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
	for _, text := range spec.ID {
		s.ids = append(s.ids, *place(text, "/id"))
	}
	if spec.Signature.BodyDigest != "" {
		s.bodyDigest = place(spec.Signature.BodyDigest, "/signature/body_digest")
	}
	if t := spec.Timestamp; t != nil {
		s.unit = t.Unit
		for _, text := range t.In {
			s.timestamps = append(s.timestamps, *place(text, "/timestamp/in"))
		}
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

// check reports specs whose signature would not cover the body or the timestamp.
func (s *Scheme) check(fault func(pointer, format string, args ...any)) {
	for i, part := range s.payload {
		if part.Text == "" && !slices.Contains(parts, part.Name) {
			fault(fmt.Sprintf("/signature/payload/%d", i), "must be one of %s, or {text: …}", strings.Join(parts, ", "))
		}
	}
	signs := s.kind == HMAC || s.kind == Hash || s.kind == Ed25519 || s.kind == ECDSA
	if signs && !s.covers("body") && (!s.covers("form") || s.bodyDigest == nil && !s.covers("url")) {
		fault("/signature/payload", "does not cover the body")
	}
	switch {
	case s.covers("timestamp") && len(s.timestamps) == 0:
		fault("/signature/payload", "contains timestamp, but the place of the timestamp is not set")
	case signs && slices.ContainsFunc(s.timestamps, func(at source) bool { return at.kind != "body" }) && !s.covers("timestamp"):
		fault("/timestamp", "is not signed")
	case s.covers("id") && len(s.ids) == 0:
		fault("/signature/payload", "contains id, but the place of the id is not set")
	}
	switch s.kind {
	case HMAC, Hash:
		if s.newHash = hashes[s.spec.Algorithm]; s.newHash == nil {
			fault("/signature/algorithm", "must be one of sha1, sha256, sha512")
		}
		if s.kind == Hash && !s.covers("secret") || s.kind == HMAC && s.covers("secret") {
			fault("/signature/payload", "must contain secret for a hash, and must not for an hmac")
		}
	case JWT:
		s.checkJWT(fault)
	}
}

func (s *Scheme) checkJWT(fault func(pointer, format string, args ...any)) {
	switch s.spec.Algorithm {
	case "HS256":
		if s.JWKS != "" {
			fault("/signature/jwks", "must not be set for HS256, which has no public keys")
		}
	case "RS256", "ES256":
		if u, err := url.Parse(s.JWKS); err != nil || u.Scheme != "https" || u.Host == "" {
			fault("/signature/jwks", "must be an https URL")
		}
		if len(s.spec.Claims) == 0 {
			fault("/signature/claims", "is required: the provider's keys also sign tokens for its other customers")
		}
	default:
		fault("/signature/algorithm", "must be one of HS256, RS256, ES256")
	}
}

func (s *Scheme) covers(part string) bool {
	return slices.ContainsFunc(s.payload, func(p Part) bool { return p.Text == "" && p.Name == part })
}

// SignsTime reports whether deliveries have a timestamp, so that old ones are rejected.
func (s *Scheme) SignsTime() bool { return len(s.timestamps) > 0 }

// Tolerance is the greatest accepted distance between the timestamp and now, in either direction.
func (s *Scheme) Tolerance() time.Duration { return s.tolerance }

// SignsID reports whether the signature covers the delivery id.
func (s *Scheme) SignsID() bool { return len(s.ids) > 0 && s.covers("id") }

// InQuery returns the query parameter that carries the secret itself; "" for other schemes.
func (s *Scheme) InQuery() string {
	if s.kind == Token && len(s.in) == 1 && s.in[0].kind == "query" {
		return s.in[0].name
	}
	return ""
}
