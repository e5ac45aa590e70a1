package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// connectionRow is one connection. Times are microseconds since the epoch, 0 for none.
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
	// Credentials are sealed by vault.sealCredentials.
	Credentials []byte `bun:"credentials"`
	// Tokens are the provider's tokens, sealed by vault.sealTokens. TokenVersion increases with each change of them, and
	// an update compares it.
	Tokens       []byte `bun:"tokens"`
	TokenVersion int64  `bun:"token_version"`
	// ExpiresAt is when the access token expires, RefreshAt when to renew it ahead of that.
	ExpiresAt int64 `bun:"expires_at"`
	RefreshAt int64 `bun:"refresh_at"`
	// RefreshFailures counts the renewals that have failed since the last one that did not. RefreshAfter is when a call may request
	// new tokens again.
	RefreshFailures int64 `bun:"refresh_failures"`
	RefreshAfter    int64 `bun:"refresh_after"`
	// ClaimedBy holds the right to request new tokens, until ClaimedUntil.
	ClaimedBy    string `bun:"claimed_by"`
	ClaimedUntil int64  `bun:"claimed_until"`
	// Version increases with each change of the row, and an update compares it.
	Version int64 `bun:"version"`
	// Host is the provider's host, with the port if the URL has one: the key of its circuit breaker.
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

// account returns what the health probe said about the connection's account; empty if it said nothing.
func (c connectionRow) account() map[string]any {
	account, err := decodeObject([]byte(c.Account))
	if err != nil {
		return map[string]any{}
	}
	return account
}

// cachedConnections is how many connections are kept in memory, about one KiB each, sealed as in the database.
const cachedConnections = 4096

// connections reads a user's connections. A missing one is CodeNotFound.
type connections struct {
	db    *database.DB
	cache *database.RowCache[connectionRow]
	row   *database.PreparedRow[connectionRow]
}

func newConnections(db *database.DB) *connections {
	return &connections{
		db: db, cache: database.NewRowCache[connectionRow](db, "connections", cachedConnections),
		row: database.NewPreparedRow[connectionRow](db, func(q *bun.SelectQuery, args ...any) *bun.SelectQuery { return q.Where("id = ?", args[0]) }),
	}
}

// get reads a connection from the database.
func (c *connections) get(ctx context.Context, userID, id string) (connectionRow, error) {
	return findConnection(ctx, c.db.DB, userID, id)
}

// cached is get for calls, which read the same few connections repeatedly. The result is never stale: see RowCache.
func (c *connections) cached(ctx context.Context, userID, id string) (connectionRow, error) {
	id = strings.ToLower(id)
	row, err := c.cache.Get(ctx, id, func(ctx context.Context) (connectionRow, error) {
		row, err := c.row.Get(ctx, id)
		return row, database.OneRow(err, "reading a connection", errNoConnection)
	})
	if err == nil && row.UserID != userID {
		return connectionRow{}, errNoConnection
	}
	return row, err
}

var errNoConnection = subjects.Errorf(subjects.CodeNotFound, "there is no such connection")

// findConnection reads one connection of a user.
func findConnection(ctx context.Context, db bun.IDB, userID, id string) (connectionRow, error) {
	var c connectionRow
	err := db.NewSelect().Model(&c).Where("id = ?", strings.ToLower(id)).Where("user_id = ?", userID).Scan(ctx)
	return c, database.OneRow(err, "reading a connection", errNoConnection)
}

// connectionsTo reads a user's connections to a provider, oldest first; only those with the label, if one is given.
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

// pageOfConnections reads a user's connections in the order and number of newestFirst, without their secrets.
func pageOfConnections(ctx context.Context, db bun.IDB, userID string, r subjects.ListIntegrationsRequest, after string) ([]connectionRow, error) {
	var rows []connectionRow
	q := newestFirst(db.NewSelect().Model(&rows).ExcludeColumn("credentials", "tokens"), r.PageRequest, after).Where("user_id = ?", userID)
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

// insertConnection adds a connection; CodeConflict if the user has one with that label to that provider.
func insertConnection(ctx context.Context, tx bun.Tx, c *connectionRow) error {
	if _, err := tx.NewInsert().Model(c).Exec(ctx); err != nil {
		return labelError(c, err, "inserting a connection")
	}
	return nil
}

// replaceConnection updates a connection; CodeConflict if its version is not the given one any more. Tokens are written
// only if they are new. That increases TokenVersion and ends a claim, so that a renewal in progress does not overwrite
// them.
func replaceConnection(ctx context.Context, tx bun.Tx, c *connectionRow, version int64, newTokens bool) error {
	fixed := []string{"id", "user_id", "provider", "created_at", "claimed_by", "claimed_until", "token_version", "refresh_failures", "refresh_after"}
	if !newTokens {
		fixed = append(fixed, "tokens", "expires_at", "refresh_at")
	}
	q := tx.NewUpdate().Model(c).ExcludeColumn(fixed...).WherePK().Where("version = ?", version)
	if newTokens {
		q.Set("token_version = token_version + 1").Set("claimed_by = ''").Set("claimed_until = 0").Set("refresh_failures = 0").Set("refresh_after = 0")
	}
	result, err := q.Exec(ctx)
	if err != nil {
		return labelError(c, err, "updating a connection")
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return subjects.Errorf(subjects.CodeConflict, "the connection was changed concurrently")
	}
	return err
}

func labelError(c *connectionRow, err error, doing string) error {
	if database.IsUnique(err) {
		return labelConflict(c)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// markNeedsReauth sets a connection's status to needs_reauth and reports whether it did. It does not if the connection
// has changed since c was read, is not active, or is claimed by another than claim.
func markNeedsReauth(ctx context.Context, tx bun.Tx, c connectionRow, claim, reason string, at int64) (bool, error) {
	result, err := tx.NewUpdate().Model((*connectionRow)(nil)).
		Set("status = ?", subjects.ConnectionNeedsReauth).Set("reason = ?", reason).Set("updated_at = ?", at).Set("version = version + 1").
		Set("claimed_by = ''").Set("claimed_until = 0").Set("refresh_at = 0").
		Where("id = ?", c.ID).Where("version = ?", c.Version).Where("token_version = ?", c.TokenVersion).Where("status = ?", subjects.ConnectionActive).
		Where("(claimed_until <= ? OR claimed_by = ?)", at, claim).Exec(ctx)
	n, err := affected(result, err, "marking a connection")
	return n == 1, err
}

// deleteConnection deletes a user's connection with its calls, its probe and its hooks, and returns it.
func deleteConnection(ctx context.Context, tx bun.Tx, userID, id string) (connectionRow, error) {
	c, err := findConnection(ctx, tx, userID, id)
	if err != nil {
		return c, err
	}
	if _, err := tx.NewDelete().Model(&c).WherePK().Exec(ctx); err != nil {
		return c, fmt.Errorf("deleting a connection: %w", err)
	}
	if _, err := tx.NewDelete().Model((*callRow)(nil)).Where("user_id = ?", userID).Where("connection_id = ?", c.ID).Exec(ctx); err != nil {
		return c, fmt.Errorf("deleting a connection's calls: %w", err)
	}
	if err := deleteProbe(ctx, tx, c.ID); err != nil {
		return c, err
	}
	return c, deleteHooksOf(ctx, tx, c.ID)
}
