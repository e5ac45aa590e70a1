package auth

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// RotateKeys has the next key sign access tokens from now on, and tells its id. It works on the database alone, beside
// a running weft on PostgreSQL or a stopped one on SQLite: a process signs with the key once it has looked, at the
// latest after Config.KeyReload. Tokens of the retired key stay good until they end. A key must have been published
// before it signs, so that a rotation before any process has made and published the one after is CodeConflict.
// deps needs DB, Outbox, Now and NewID.
func RotateKeys(ctx context.Context, deps actors.Deps, config Config) (keyID string, err error) {
	if err := config.Check(); err != nil {
		return "", err
	}
	a := &Actor{Deps: deps, config: config}
	err = deps.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		rows, err := signingKeys(ctx, tx)
		if err != nil {
			return err
		}
		slots := map[string]string{}
		for _, row := range rows {
			slots[row.state()] = row.KeyID
		}
		if slots[keyCurrent] == "" || slots[keyNext] == "" {
			return subjects.Errorf(subjects.CodeConflict, "no next key is published yet; weft makes one within auth.key_reload, or at its start")
		}
		keyID = slots[keyNext]
		if err := rotateSigningKeys(ctx, tx, slots[keyCurrent], deps.Now().UnixMilli()); err != nil {
			return err
		}
		detail := map[string]string{"by": "weft auth rotate-keys", "retired": slots[keyCurrent], "current": keyID}
		return a.audit(ctx, tx, entry{action: auditKeys, outcome: auditSuccess, detail: detail})
	})
	if err != nil {
		return "", fmt.Errorf("rotating signing keys: %w", err)
	}
	return keyID, nil
}
