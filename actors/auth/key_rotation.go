package auth

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// RotateKeys makes the next key the current signing key and returns its ID. It uses the database alone: weft may run at
// the same time on PostgreSQL, and must be stopped on SQLite. A running process signs with the new key once it reloads
// the keys, after at most Config.KeyReload. Access tokens of the retired key stay valid until they expire. The error is
// CodeConflict if no next key has been published yet, because a key must be published before it signs. deps needs DB,
// Outbox, Now and NewID.
func RotateKeys(ctx context.Context, deps actors.Deps, config Config) (keyID string, err error) {
	if err := config.Check(); err != nil {
		return "", err
	}
	r := &recorder{Deps: deps, retention: config.AuditKept}
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
			return subjects.Errorf(subjects.CodeConflict, "no next key is published yet; weft creates one at its start and within auth.key_reload")
		}
		keyID = slots[keyNext]
		if err := rotateSigningKeys(ctx, tx, slots[keyCurrent], deps.Now().UnixMicro()); err != nil {
			return err
		}
		detail := map[string]string{"by": "weft auth rotate-keys", "retired": slots[keyCurrent], "current": keyID}
		return r.audit(ctx, tx, auditEntry{action: auditKeys, outcome: auditSuccess, detail: detail})
	})
	if err != nil {
		return "", fmt.Errorf("rotating signing keys: %w", err)
	}
	return keyID, nil
}
