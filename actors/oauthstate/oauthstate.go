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

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/kv"
)

// ErrNoState is what States.Take says of a state that is unknown, used or over.
var ErrNoState = errors.New("there is no such state")

// States keeps what a browser's way to a provider and back rests on: T, sealed, in a bucket, under a hash of a state that
// is good once. Whoever reads the bucket learns neither a state nor what belongs to it.
type Store[T any] struct {
	bucket *kv.Bucket[sealedState]
	sealer *seal.Sealer
	name   string
}

type sealedState struct {
	Sealed []byte `json:"sealed"`
}

// OpenStates binds to the bucket, which the actor owns.
func Open[T any](ctx context.Context, d actors.Deps, spec kv.Spec) (*Store[T], error) {
	bucket, err := kv.Open[sealedState](ctx, d.Conn.JS, spec)
	if err != nil {
		return nil, err
	}
	return &Store[T]{bucket: bucket, sealer: d.Sealer, name: spec.Name}, nil
}

// Put keeps value for a new state, for as long as ttl.
func (s *Store[T]) Put(ctx context.Context, state string, value T, ttl time.Duration) error {
	key := keyOfState(state)
	plain, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding a state: %w", err)
	}
	sealed, err := s.sealer.Seal(plain, s.context(key))
	if err != nil {
		return err
	}
	_, err = s.bucket.Create(ctx, key, sealedState{sealed}, ttl)
	return err
}

// Take finds what belongs to a state and uses it up: of any number who come at once with the same one, one gets it. It is
// not used up where admit refuses; that error comes back as it is.
func (s *Store[T]) Take(ctx context.Context, state string, admit func(T) error) (T, error) {
	var none, value T
	key := keyOfState(state)
	found, err := s.bucket.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return none, ErrNoState
	}
	if err != nil {
		return none, err
	}
	plain, err := s.sealer.Open(found.Value.Sealed, s.context(key))
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(plain, &value); err != nil {
		return none, fmt.Errorf("decoding a state: %w", err)
	}
	if err := admit(value); err != nil {
		return none, err
	}
	err = s.bucket.DeleteRevision(ctx, key, found.Revision)
	if errors.Is(err, kv.ErrConflict) {
		return none, ErrNoState
	}
	return value, err
}

func (s *Store[T]) context(key string) []byte { return []byte(s.name + "/" + key) }

func keyOfState(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:])
}

// NewSecret makes 256 random bits, in base64url.
func NewSecret() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails, says crypto/rand
	return base64.RawURLEncoding.EncodeToString(raw)
}

// KeepBinding is the binding that a browser has already, if it is one of ours in form, or a new one.
func KeepBinding(had string) string {
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(had); err == nil && len(raw) == 32 && len(had) == 43 {
		return had
	}
	return NewSecret()
}

// HashBinding is what is kept of a binding.
func HashBinding(binding string) []byte {
	sum := sha256.Sum256([]byte(binding))
	return sum[:]
}

// BindingIs tells whether a hash is that of a binding.
func BindingIs(binding string, hash []byte) bool { return hmac.Equal(HashBinding(binding), hash) }

// GoodRedirect accepts what RFC 8252 and RFC 9700 §2.1 let a client register: https, http on this machine, or an app's
// own scheme with a dot; no fragment.
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
