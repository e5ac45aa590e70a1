package workflow

import (
	"context"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

// maxSecret bounds the value of a secret, in bytes of JSON.
const maxSecret = 16 << 10

func (a *Actor) putSecret(ctx context.Context, r subjects.PutWorkflowSecretRequest) (subjects.WorkflowSecret, error) {
	if len(r.Value) > maxSecret {
		return subjects.WorkflowSecret{}, subjects.Errorf(subjects.CodeTooLarge, "a secret has at most %d bytes", maxSecret)
	}
	value, err := language.DecodeStrict(r.Value)
	if err != nil {
		// The error may quote a number or a name, which are parts of the secret.
		return subjects.WorkflowSecret{}, subjects.InvalidField("value", "is not JSON that can be stored: numbers within the range "+
			"of float64, names unique in their object, text in UTF-8, at most %d levels deep", language.MaxDataDepth)
	}
	text, isText := value.(string)
	object, isObject := value.(map[string]any)
	if !isText && !isObject || text == "" && len(object) == 0 {
		return subjects.WorkflowSecret{}, subjects.InvalidField("value", "must be a text or an object, and not empty")
	}
	userID, now := actors.CallerFrom(ctx).UserID, a.Now().UnixMicro()
	sealed, err := a.secrets.seal(userID, r.Name, language.Canonical(value))
	if err != nil {
		return subjects.WorkflowSecret{}, err
	}
	row := secretRow{UserID: userID, Name: r.Name, Sealed: sealed, CreatedAt: now, UpdatedAt: now}
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, func() { a.secrets.forget(userID) })
		before := row.CreatedAt
		if row, err = putSecret(ctx, tx, row); err != nil || row.CreatedAt != before {
			return err // it replaced one
		}
		return a.bounds.Reserve(ctx, tx, a.bounds.secrets, userID, 0)
	})
	if err != nil {
		return subjects.WorkflowSecret{}, err
	}
	return row.resource(), nil
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
	return subjects.Empty{}, a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		a.DB.AfterCommit(ctx, func() { a.secrets.forget(userID) })
		return deleteSecret(ctx, tx, userID, r.Name)
	})
}
