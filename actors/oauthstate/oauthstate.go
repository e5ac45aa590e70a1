package oauthstate

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/kv"
)

// ErrNoState means that a state is unknown, used or expired.
var ErrNoState = errors.New("unknown, used or expired state")

// Store keeps a sealed T for each state, under a hash of the state, until it is taken or expires. The bucket reveals neither
// states nor values.
type Store[T any] struct {
	bucket *kv.Bucket[sealedState]
	sealer *seal.Sealer
	name   string
}

type sealedState struct {
	Sealed []byte `json:"sealed"`
}

// Open opens the store in a bucket that the actor owns.
func Open[T any](ctx context.Context, js jetstream.JetStream, sealer *seal.Sealer, spec kv.Spec) (*Store[T], error) {
	bucket, err := kv.Open[sealedState](ctx, js, spec)
	if err != nil {
		return nil, err
	}
	return &Store[T]{bucket: bucket, sealer: sealer, name: spec.Name}, nil
}

// Put stores value for a new state for the duration of ttl. The error is kv.ErrExists if the state exists.
func (s *Store[T]) Put(ctx context.Context, state string, value T, ttl time.Duration) error {
	key := stateKey(state)
	plain, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding a state's value: %w", err)
	}
	sealed, err := s.sealer.Seal(plain, s.associatedData(key))
	if err != nil {
		return err
	}
	_, err = s.bucket.Create(ctx, key, sealedState{sealed}, ttl)
	return err
}

// Take returns the value of a state and deletes the state; of concurrent calls only one succeeds. If admit rejects the value, the
// state is kept and admit's error is returned unchanged. The error is ErrNoState if there is nothing to take.
func (s *Store[T]) Take(ctx context.Context, state string, admit func(T) error) (T, error) {
	var none, value T
	key := stateKey(state)
	found, err := s.bucket.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return none, ErrNoState
	}
	if err != nil {
		return none, err
	}
	plain, err := s.sealer.Open(found.Value.Sealed, s.associatedData(key))
	if errors.Is(err, seal.ErrCannotOpen) {
		// Its key was retired in the meantime: sealed states are not sealed again, because they expire within minutes.
		return none, ErrNoState
	}
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(plain, &value); err != nil {
		return none, fmt.Errorf("decoding a state's value: %w", err)
	}
	if err := admit(value); err != nil {
		return none, err
	}
	err = s.bucket.DeleteRevision(ctx, key, found.Revision)
	if errors.Is(err, kv.ErrConflict) {
		return none, ErrNoState
	}
	if err != nil {
		return none, err
	}
	return value, nil
}

// associatedData binds a sealed value to its key and bucket.
func (s *Store[T]) associatedData(key string) []byte { return []byte(s.name + "/" + key) }

func stateKey(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:])
}

const (
	secretBytes  = 32
	secretLength = 43 // of secretBytes in base64url without padding
)

// NewSecret returns 256 random bits in base64url, for states, nonces and bindings.
func NewSecret() string {
	raw := make([]byte, secretBytes)
	_, _ = rand.Read(raw) // crypto/rand documents that it never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}

// KeepBinding returns the binding from a browser's cookie if it has the form of NewSecret, and a new binding otherwise.
func KeepBinding(cookie string) string {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err == nil && len(raw) == secretBytes && len(cookie) == secretLength {
		return cookie
	}
	return NewSecret()
}

// HashBinding returns the hash of a binding, for storage.
func HashBinding(binding string) []byte {
	sum := sha256.Sum256([]byte(binding))
	return sum[:]
}

// BindingIs reports whether hash is the hash of binding, in constant time.
func BindingIs(binding string, hash []byte) bool { return hmac.Equal(HashBinding(binding), hash) }

// GoodRedirect reports whether a client may register a redirect URI: https; http on the loopback interface (RFC 8252 §7.3); or a
// private-use scheme, which contains a dot (RFC 8252 §7.1). Fragments (RFC 6749 §3.1.2), user information and wildcards (RFC 9700
// §2.1: exact match) are refused.
func GoodRedirect(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Fragment != "" || strings.Contains(uri, "#") || u.User != nil || strings.Contains(uri, "*") {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Hostname() != ""
	case "http":
		return slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname())
	}
	return strings.Contains(u.Scheme, ".")
}
