package workflow

import (
	"context"
	"encoding/base64"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/subjects"
)

const (
	maxSecrets = 100
	maxSecret  = 16 << 10
	// secretsFor is how long what was read of a user's secrets is taken for what they are, so that the calls of one turn
	// read once. A process knows at once what it has changed itself.
	secretsFor = time.Second
	// secretsWithin bounds one reading: a partition waits meanwhile.
	secretsWithin = 2 * time.Second
)

func (a *Actor) putSecret(ctx context.Context, r subjects.PutWorkflowSecretRequest) (subjects.WorkflowSecret, error) {
	if len(r.Value) > maxSecret {
		return subjects.WorkflowSecret{}, subjects.Errorf(subjects.CodeTooLarge, "a secret has at most %d bytes", maxSecret)
	}
	value, err := language.Decode(r.Value)
	text, isText := value.(string)
	object, isObject := value.(map[string]any)
	if err != nil || !isText && !isObject || text == "" && len(object) == 0 {
		return subjects.WorkflowSecret{}, subjects.InvalidField("value", "is neither a text nor an object with something in it")
	}
	userID, now := actors.CallerFrom(ctx).UserID, a.Now().UnixMicro()
	sealed, err := a.Sealer.Seal(language.Canonical(value), secretOf(userID, r.Name))
	if err != nil {
		return subjects.WorkflowSecret{}, err
	}
	row := secretRow{UserID: userID, Name: r.Name, Sealed: base64.StdEncoding.EncodeToString(sealed), CreatedAt: now, UpdatedAt: now}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, func() { a.secrets.forget(userID) })
		row, err = putSecret(ctx, tx, row, maxSecrets)
		return err
	})
	if err == nil && row.Name == "" {
		err = subjects.Errorf(subjects.CodeConflict, "there are %d secrets already", maxSecrets)
	}
	return row.resource(), err
}

func (a *Actor) listSecrets(ctx context.Context, r subjects.PageRequest) (subjects.Page[subjects.WorkflowSecret], error) {
	var page subjects.Page[subjects.WorkflowSecret]
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return page, err
	}
	rows, err := secretsOf(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, after[0], r.PageLimit()+1)
	if err != nil {
		return page, err
	}
	items := make([]subjects.WorkflowSecret, len(rows))
	for i, row := range rows {
		items[i] = row.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(s subjects.WorkflowSecret) []string { return []string{s.Name} }), nil
}

func (a *Actor) deleteSecret(ctx context.Context, r subjects.WorkflowSecretRequest) (subjects.Empty, error) {
	userID := actors.CallerFrom(ctx).UserID
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, func() { a.secrets.forget(userID) })
		found, err := dropSecret(ctx, tx, userID, r.Name)
		if err == nil && !found {
			err = subjects.Errorf(subjects.CodeNotFound, "there is no such secret")
		}
		return err
	})
	return subjects.Empty{}, err
}

// secretOf is what a sealed secret is bound to: it opens in no other user's row and under no other name.
func secretOf(userID, name string) []byte { return []byte("workflow_secrets/" + userID + "/" + name) }

// knownSecrets keeps what users' secrets are for a moment.
type knownSecrets struct {
	mu    sync.Mutex
	users map[string]readSecrets
	// changes counts what was changed: what was read before a change is not kept.
	changes uint64
}

type readSecrets struct {
	values map[string][]byte
	at     time.Time
}

func newKnownSecrets() *knownSecrets { return &knownSecrets{users: map[string]readSecrets{}} }

// forget forgets what a user's secrets are. It is called once a change is committed, before it is answered.
func (k *knownSecrets) forget(userID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	delete(k.users, userID)
}

// environment is what a definition's executions see beside their data: for one that names secrets, those of the user.
func (a *Actor) environment(def *language.Workflow, userID string) machine.Environment {
	if len(def.Use.Secrets) == 0 {
		return machine.Environment{}
	}
	return machine.Environment{Secrets: func() (map[string]any, error) {
		all, err := a.secretsNow(userID)
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

// secretsNow are a user's secrets by name, as JSON.
func (a *Actor) secretsNow(userID string) (map[string][]byte, error) {
	k, now := a.secrets, time.Now()
	k.mu.Lock()
	known, ok := k.users[userID]
	changes := k.changes
	k.mu.Unlock()
	if ok && now.Sub(known.at) < secretsFor {
		return known.values, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), secretsWithin)
	defer cancel()
	rows, err := secretsOf(ctx, a.DB.DB, userID, "", 0)
	if err != nil {
		return nil, err
	}
	values := make(map[string][]byte, len(rows))
	for _, row := range rows {
		value, err := a.openSecret(row)
		if err != nil {
			a.Log.Error("opening a secret", zap.String("user_id", userID), zap.String("name", row.Name), zap.Error(err))
			continue
		}
		values[row.Name] = value
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes == changes {
		// What is old is dropped: secrets of users whose workflows rest are not in memory.
		for user, read := range k.users {
			if now.Sub(read.at) >= secretsFor {
				delete(k.users, user)
			}
		}
		k.users[userID] = readSecrets{values: values, at: now}
	}
	return values, nil
}

func (a *Actor) openSecret(row secretRow) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(row.Sealed)
	if err != nil {
		return nil, err
	}
	return a.Sealer.Open(sealed, secretOf(row.UserID, row.Name))
}
