package auth

import (
	"strings"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// apiKey lets a program act as its owner, within scopes.
type apiKey struct {
	ID        string
	UserID    string
	Name      string
	Prefix    string
	Hash      string
	Scopes    []string
	CreatedAt time.Time
	// ExpiresAt and LastUsedAt are zero for never.
	ExpiresAt  time.Time
	LastUsedAt time.Time
}

const (
	apiKeyPrefix = subjects.APIKeyPrefix
	// apiKeyPrefixChars is the number of characters of a key's random part that are stored in clear text.
	apiKeyPrefixChars = 6
	// maxAPIKeys bounds auth.api_keys_per_user: what a deletion of the account revokes in one transaction.
	maxAPIKeys = 1000
	// lastUsedInterval is the minimum time between two updates of a key's last use.
	lastUsedInterval = time.Minute
)

// newAPIKey returns a new key and its text, which is shown once and not stored.
func newAPIKey(req subjects.CreateAPIKeyRequest, userID, id string, now time.Time) (apiKey, string, error) {
	name, err := cleanName("name", req.Name)
	if err != nil {
		return apiKey{}, "", err
	}
	if name == "" {
		return apiKey{}, "", subjects.InvalidField("name", "is empty")
	}
	k := apiKey{ID: id, UserID: userID, Name: name, Scopes: req.Scopes, CreatedAt: now}
	if req.ExpiresAt != nil {
		if !req.ExpiresAt.After(now) {
			return apiKey{}, "", subjects.InvalidField("expires_at", "is not in the future")
		}
		k.ExpiresAt = req.ExpiresAt.UTC()
	}
	random, _ := newToken()
	text := apiKeyPrefix + random
	k.Prefix, k.Hash = text[:len(apiKeyPrefix)+apiKeyPrefixChars], hashToken(text)
	return k, text, nil
}

// active reports whether the key has not expired.
func (k apiKey) active(now time.Time) bool { return k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt) }

func (k apiKey) view() subjects.APIKey {
	s := subjects.APIKey{ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, CreatedAt: k.CreatedAt}
	if !k.ExpiresAt.IsZero() {
		s.ExpiresAt = &k.ExpiresAt
	}
	if !k.LastUsedAt.IsZero() {
		s.LastUsedAt = &k.LastUsedAt
	}
	return s
}

func (k apiKey) scope() string { return strings.Join(k.Scopes, " ") }
