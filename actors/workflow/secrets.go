package workflow

import (
	"context"
	"encoding/base64"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

const (
	// secretLifetime is how long a user's secrets are cached, counted from before they were read. It is long enough for the
	// calls of one transition to read them once. A change made in this process invalidates the cache at once.
	secretLifetime = time.Second
	// secretReadTimeout bounds one read, during which a partition waits.
	secretReadTimeout = 2 * time.Second
)

// secrets gives executions their users' secrets in plain text.
type secrets struct {
	actors.Deps

	// opened is not an expirable LRU: that would count the lifetime from after the read, and never stop its goroutine.
	opened *readCache[string, openedSecrets]
}

// openedSecrets are a user's secrets by name, as JSON.
type openedSecrets struct {
	values map[string][]byte
	readAt time.Time
}

func (s openedSecrets) expired(now time.Time) bool { return now.Sub(s.readAt) >= secretLifetime }

func newSecrets(deps actors.Deps) *secrets {
	return &secrets{Deps: deps, opened: newReadCache[string, openedSecrets](maxCached)}
}

// forget drops a user's cached secrets. Call it after a change is committed and before the request is answered.
func (s *secrets) forget(userID string) { s.opened.remove(userID) }

// environment is what executions of a definition see besides their data: the user's secrets that it names.
func (s *secrets) environment(def *language.Workflow, userID string) machine.Environment {
	runtime := map[string]any{"name": "weft", "version": s.Version}
	if len(def.Use.Secrets) == 0 {
		return machine.Environment{Runtime: runtime}
	}
	return machine.Environment{Runtime: runtime, Secrets: func() (map[string]any, error) {
		all, err := s.read(userID)
		if err != nil {
			return nil, err
		}
		named := make(map[string]any, len(def.Use.Secrets))
		for _, name := range def.Use.Secrets {
			text, known := all[name]
			if !known {
				continue
			}
			if named[name], err = language.Decode(text); err != nil {
				return nil, err
			}
		}
		return named, nil
	}}
}

// read returns a user's secrets by name, as JSON. One that cannot be opened is logged and left out.
func (s *secrets) read(userID string) (map[string][]byte, error) {
	now := time.Now()
	cached, ok, changes := s.opened.get(userID)
	if ok && !cached.expired(now) {
		return cached.values, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), secretReadTimeout)
	defer cancel()
	rows, err := secretsOf(ctx, s.DB.DB, userID, "", 0)
	if err != nil {
		return nil, err
	}
	values := make(map[string][]byte, len(rows))
	for _, row := range rows {
		value, err := s.open(row)
		if err != nil {
			s.Log.Error("opening a secret", zap.String("user_id", userID), zap.String("name", row.Name), zap.Error(err))
			continue
		}
		values[row.Name] = value
	}
	// Secrets of users whose executions are idle do not stay in memory.
	s.opened.removeIf(func(other openedSecrets) bool { return other.expired(now) })
	s.opened.add(userID, openedSecrets{values: values, readAt: now}, changes)
	return values, nil
}

// seal returns a secret's value as the column sealed stores it.
func (s *secrets) seal(userID, name string, value []byte) (string, error) {
	sealed, err := s.Sealer.Seal(value, secretAssociated(userID, name))
	return base64.StdEncoding.EncodeToString(sealed), err
}

func (s *secrets) open(row secretRow) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(row.Sealed)
	if err != nil {
		return nil, err
	}
	return s.Sealer.Open(sealed, secretAssociated(row.UserID, row.Name))
}

// secretAssociated returns the data that a sealed secret is bound to: it cannot be opened in another user's row or under
// another name.
func secretAssociated(userID, name string) []byte {
	return []byte("workflow_secrets/" + userID + "/" + name)
}
