package integration

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// connectionRow is one connection. Times are microseconds since 1970, 0 for none.
type connectionRow struct {
	bun.BaseModel `bun:"table:connections"`

	ID       string `bun:"id,pk"`
	UserID   string `bun:"user_id"`
	Provider string `bun:"provider"`
	Label    string `bun:"label"`
	Auth     string `bun:"auth"`
	Status   string `bun:"status"`
	Reason   string `bun:"reason"`
	// Settings and Account are JSON; Account may be empty.
	Settings string `bun:"settings"`
	// Credentials are sealed; see Actor.seal.
	Credentials []byte `bun:"credentials"`
	// Tokens are what the provider gave, sealed; see Actor.holdTokens. They are fenced by TokenVersion.
	Tokens       []byte `bun:"tokens"`
	TokenVersion int64  `bun:"token_version"`
	// ExpiresAt is the access token's end, RefreshAt when to renew it ahead of that.
	ExpiresAt int64 `bun:"expires_at"`
	RefreshAt int64 `bun:"refresh_at"`
	// ClaimedBy asks the provider for new tokens, and is gone after ClaimedUntil.
	ClaimedBy    string `bun:"claimed_by"`
	ClaimedUntil int64  `bun:"claimed_until"`
	// Version counts changes; an update fences itself with it.
	Version int64 `bun:"version"`
	// Host is the provider's, with its port where it has one: a breaker's key.
	Host       string `bun:"host"`
	Account    string `bun:"account"`
	ProbedAt   int64  `bun:"probed_at"`
	ProbeClass string `bun:"probe_class"`
	CreatedAt  int64  `bun:"created_at"`
	UpdatedAt  int64  `bun:"updated_at"`
}

// resource is the connection as its owner sees it.
func (c connectionRow) resource() subjects.Connection {
	r := subjects.Connection{
		ID: c.ID, Provider: c.Provider, Label: c.Label, Auth: c.Auth, Status: c.Status, Reason: c.Reason,
		Settings: c.settings(), CreatedAt: time.UnixMicro(c.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(c.UpdatedAt).UTC(),
	}
	if c.Account != "" {
		r.Account = json.RawMessage(c.Account)
	}
	if c.ExpiresAt != 0 {
		at := time.UnixMicro(c.ExpiresAt).UTC()
		r.ExpiresAt = &at
	}
	if c.ProbedAt != 0 {
		at := time.UnixMicro(c.ProbedAt).UTC()
		r.CheckedAt = &at
	}
	return r
}

func (c connectionRow) settings() map[string]any {
	settings, err := decodeObject([]byte(c.Settings))
	if err != nil {
		return map[string]any{}
	}
	return settings
}

// findConnection reads one connection of a user.
func findConnection(ctx context.Context, db bun.IDB, userID, id string) (connectionRow, error) {
	var c connectionRow
	err := whichConnection(db.NewSelect().Model(&c), strings.ToLower(id), userID).Scan(ctx)
	return c, noConnection(err)
}

// whichConnection narrows a query to a connection's id and its user.
func whichConnection(q *bun.SelectQuery, args ...any) *bun.SelectQuery {
	return q.Where("id = ?", args[0]).Where("user_id = ?", args[1])
}

// noConnection is what the want of a connection is for who asked.
func noConnection(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return subjects.Errorf(subjects.CodeNotFound, "there is no such connection")
	}
	if err != nil {
		return fmt.Errorf("reading a connection: %w", err)
	}
	return nil
}

// connectionsTo reads a user's connections to a provider, the oldest first; label narrows them where it is not empty.
func connectionsTo(ctx context.Context, db bun.IDB, userID, provider, label string) ([]connectionRow, error) {
	var rows []connectionRow
	q := db.NewSelect().Model(&rows).Where("user_id = ?", userID).Where("provider = ?", provider).Order("id")
	if label != "" {
		q.Where("label = ?", label)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading connections to a provider: %w", err)
	}
	return rows, nil
}

// pageOfConnections reads a user's connections, newest first, after the given id; one more than asked.
func pageOfConnections(ctx context.Context, db bun.IDB, userID string, r subjects.ListIntegrationsRequest, after string) ([]connectionRow, error) {
	var rows []connectionRow
	q := db.NewSelect().Model(&rows).ExcludeColumn("credentials", "tokens").Where("user_id = ?", userID).Order("id DESC").Limit(int64(r.PageLimit() + 1))
	if after != "" {
		q.Where("id < ?", after)
	}
	if r.Provider != "" {
		q.Where("provider = ?", r.Provider)
	}
	if r.Status != "" {
		q.Where("status = ?", r.Status)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("listing connections: %w", err)
	}
	return rows, nil
}

func countConnections(ctx context.Context, db bun.IDB, userID string) (int64, error) {
	n, err := db.NewSelect().Model((*connectionRow)(nil)).Where("user_id = ?", userID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("counting connections: %w", err)
	}
	return n, nil
}

// insertConnection adds a connection; conflict where the user has one of that label to that provider.
func insertConnection(ctx context.Context, tx bun.Tx, c *connectionRow) error {
	if _, err := tx.NewInsert().Model(c).Exec(ctx); err != nil {
		return labelTaken(c, err, "inserting a connection")
	}
	return nil
}

// replaceConnection writes a connection unless it has changed since version was read: then it is a conflict. Its tokens
// are written only where they are new; then whoever is renewing the old ones comes too late.
func replaceConnection(ctx context.Context, tx bun.Tx, c *connectionRow, version int64, newTokens bool) error {
	fixed := []string{"id", "user_id", "provider", "created_at", "claimed_by", "claimed_until", "token_version"}
	if !newTokens {
		fixed = append(fixed, "tokens", "expires_at", "refresh_at")
	}
	q := tx.NewUpdate().Model(c).ExcludeColumn(fixed...).WherePK().Where("version = ?", version)
	if newTokens {
		q.Set("token_version = token_version + 1").Set("claimed_by = ''").Set("claimed_until = 0")
	}
	result, err := q.Exec(ctx)
	if err != nil {
		return labelTaken(c, err, "updating a connection")
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return subjects.Errorf(subjects.CodeConflict, "the connection was changed meanwhile")
	}
	return err
}

func labelTaken(c *connectionRow, err error, doing string) error {
	if database.IsUnique(err) {
		return labelConflict(c)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// markNeedsReauth says that a connection's credentials of that version are refused; it tells whether that was news.
func markNeedsReauth(ctx context.Context, tx bun.Tx, c connectionRow, by, reason string, at int64) (bool, error) {
	result, err := tx.NewUpdate().Model((*connectionRow)(nil)).
		Set("status = ?", needsReauth).Set("reason = ?", reason).Set("updated_at = ?", at).Set("version = version + 1").
		Set("claimed_by = ''").Set("claimed_until = 0").Set("refresh_at = 0").
		Where("id = ?", c.ID).Where("version = ?", c.Version).Where("token_version = ?", c.TokenVersion).Where("status = ?", active).
		Where("(claimed_until <= ? OR claimed_by = ?)", at, by).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("marking a connection: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// deleteConnection forgets a connection of a user, its calls and its hooks; not_found where there is none.
func deleteConnection(ctx context.Context, tx bun.Tx, userID, id string) (connectionRow, error) {
	c, err := findConnection(ctx, tx, userID, id)
	if err != nil {
		return c, err
	}
	if _, err := tx.NewDelete().Model(&c).WherePK().Exec(ctx); err != nil {
		return c, fmt.Errorf("deleting a connection: %w", err)
	}
	if _, err := tx.NewDelete().Model((*callRow)(nil)).Where("connection_id = ?", id).Exec(ctx); err != nil {
		return c, fmt.Errorf("deleting a connection's calls: %w", err)
	}
	if err := dropProbe(ctx, tx, c.ID); err != nil {
		return c, err
	}
	return c, deleteHooksOf(ctx, tx, c.ID)
}
