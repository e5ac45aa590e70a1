package consent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
)

const (
	// typNotice is the typ of a notice token. No other key than the actor's own signs one.
	typNotice = "weft-notice+jwt"
	// maxNoticeToken bounds a token in bytes, as the request's schema does.
	maxNoticeToken = 2048
	// noticeKey is the name of the key in the table consent_keys.
	noticeKey = "notice"
	// noticeSkew is how far iat may be ahead of the verifier's clock.
	noticeSkew = 5 * time.Second
)

// noticeClaims are the claims of a notice token: what was shown, to whom, when and where.
type noticeClaims struct {
	Issuer    string `json:"iss"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	// Subject is the user; absent if nobody was signed in.
	Subject        string `json:"sub,omitempty"`
	NoticeID       string `json:"notice_id"`
	Version        int64  `json:"version"`
	PurposeID      string `json:"purpose_id"`
	PurposeVersion int64  `json:"purpose_version"`
	Scope          string `json:"scope"`
	Hash           string `json:"hash"`
	Language       string `json:"language"`
	Jurisdiction   string `json:"jurisdiction,omitempty"`
	// GPC says that Global Privacy Control opted out of the purpose when the notice was served, and that the answer said so.
	GPC bool `json:"gpc"`
}

var errNoticeToken = errors.New("the notice token is invalid or has expired")

// noticeSigner signs and verifies notice tokens. Its key is made when it is first needed and shared by all processes of the actor. It is
// safe for concurrent use.
type noticeSigner struct {
	actors.Deps
	store store

	mu  sync.Mutex
	id  string
	key ed25519.PrivateKey
}

// keyContext binds a sealed key to its id.
func keyContext(id string) []byte { return []byte("consent_keys/" + id) }

// sign returns a token with the claims.
func (s *noticeSigner) sign(ctx context.Context, claims noticeClaims) (string, error) {
	id, key, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	return mesh.SignJWS(typNotice, id, claims, key)
}

// verify returns the claims of a valid token. The error is errNoticeToken for an invalid one.
func (s *noticeSigner) verify(ctx context.Context, token string) (noticeClaims, error) {
	var claims noticeClaims
	id, key, err := s.current(ctx)
	if err != nil {
		return claims, err
	}
	err = mesh.ParseJWS(token, typNotice, maxNoticeToken, &claims, func(kid string) (ed25519.PublicKey, bool) {
		public, ok := key.Public().(ed25519.PublicKey)
		return public, ok && kid == id
	})
	now := s.Now()
	switch {
	case err != nil, claims.Issuer != s.Issuer, claims.ID == "", claims.NoticeID == "", claims.Hash == "", claims.Scope == "",
		claims.IssuedAt == 0, !now.Before(time.Unix(claims.ExpiresAt, 0)), now.Add(noticeSkew).Before(time.Unix(claims.IssuedAt, 0)):
		return noticeClaims{}, errNoticeToken
	}
	return claims, nil
}

// current returns the key. It must not be called in a transaction that has written.
func (s *noticeSigner) current(ctx context.Context) (string, ed25519.PrivateKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil {
		return s.id, s.key, nil
	}
	row, err := s.store.signingKey(ctx, noticeKey)
	if err != nil && !errors.Is(err, errNoKey) {
		return "", nil, err
	}
	if err == nil {
		seed, err := s.Sealer.Open(row.SealedKey, keyContext(row.ID))
		if err == nil && len(seed) == ed25519.SeedSize {
			s.id, s.key = row.ID, ed25519.NewKeyFromSeed(seed)
			return s.id, s.key, nil
		}
		// Tokens live for minutes: where the keyset was lost, another key serves as well.
		s.Log.Error("decrypting the key of notice tokens; making another", zap.String("key_id", row.ID), zap.Error(err))
	}
	return s.replace(ctx, row.ID)
}

// replace makes a key in place of the one with the id, or the first one if it is empty, and returns the stored one.
func (s *noticeSigner) replace(ctx context.Context, old string) (string, ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return "", nil, fmt.Errorf("generating a key: %w", err)
	}
	row := keyRow{Name: noticeKey, ID: s.NewID()}
	var err error
	if row.SealedKey, err = s.Sealer.Seal(seed, keyContext(row.ID)); err != nil {
		return "", nil, err
	}
	err = s.DB.RunInTx(s.DB.Detached(ctx), func(ctx context.Context, tx database.Tx) error { return s.store.replaceKey(ctx, tx, &row, old) })
	if err != nil {
		return "", nil, err
	}
	// Another process may have stored one first.
	if seed, err = s.Sealer.Open(row.SealedKey, keyContext(row.ID)); err != nil {
		return "", nil, fmt.Errorf("decrypting the key of notice tokens: %w", err)
	}
	s.id, s.key = row.ID, ed25519.NewKeyFromSeed(seed)
	return s.id, s.key, nil
}
