package auth

import (
	"strings"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// apiKey is a key with which a program acts as its owner, within scopes.
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
	// apiKeyShown is how much of a key's random part is kept in clear.
	apiKeyShown = 6
	// maxAPIKeys bounds a user's keys.
	maxAPIKeys = 50
	// usedEvery is how often a key's last use is written.
	usedEvery = time.Minute
)

// newAPIKey makes a key and its text, which is shown once.
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
	random, _ := newLetterToken()
	text := apiKeyPrefix + random
	k.Prefix, k.Hash = text[:len(apiKeyPrefix)+apiKeyShown], hashToken(text)
	return k, text, nil
}

// good tells whether the key may be used.
func (k apiKey) good(now time.Time) bool { return k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt) }

func (k apiKey) shown() subjects.APIKey {
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
