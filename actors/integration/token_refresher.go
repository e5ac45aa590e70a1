package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// expiryMargin is how long before its expiry an access token is not used any more.
	expiryMargin = 10 * time.Second
	// claimPoll is the interval at which another process's claim is polled.
	claimPoll = 50 * time.Millisecond
	// storeRetry is the wait before new tokens are stored again after a database error.
	storeRetry = 200 * time.Millisecond
	// markWithin bounds the transaction that marks a connection.
	markWithin = 5 * time.Second
)

// storeWithin bounds the storing of new tokens. Its commit waits for the lease of a process that does not answer, because connections are
// cached, and must then have time for another attempt.
func (c RefreshConfig) storeWithin() time.Duration { return max(c.Timeout, 2*mesh.LeaseLength) }

// claimFor is how long a claim holds. It is well over the request's timeout and storeWithin: once a claim has expired, its process is
// not making the request or storing its tokens any more.
func (c RefreshConfig) claimFor() time.Duration { return 2*c.Timeout + c.storeWithin() }

// renewWithin bounds a renewal: its request and the wait for another process's claim.
func (c RefreshConfig) renewWithin() time.Duration { return 2*c.Timeout + c.Timeout/4 }

// tokenRefresher renews the access tokens of connections. Most providers accept a refresh token once, so that a renewal is
// claimed in the database by one process, and its tokens are stored before any of them is used.
type tokenRefresher struct {
	actors.Deps
	config      RefreshConfig
	registry    *registry
	connections *connections
	vault       vault
	client      *tokenClient
	metrics     metrics
	jitter      func() float64
	renewals    singleflight.Group
	// inFlight is read-locked from a token request until its tokens are stored.
	inFlight sync.RWMutex
}

// open returns a connection as manifests use it, with an access token that has not expired. If that is a new one, c is
// updated.
func (t *tokenRefresher) open(ctx context.Context, p *manifest.Provider, c *connectionRow) (manifest.Connection, error) {
	connection, tokens, err := t.vault.open(*c)
	if err != nil {
		return connection, err
	}
	method, ok := p.AuthMethod(c.Auth)
	if !ok || !renewable(method, tokens) || !t.due(method, c, tokens) {
		return connection, nil
	}
	renewed, err := t.openRenewed(ctx, p, c)
	if code := subjects.CodeOf(err); err != nil && tokens.Access != "" && code != subjects.CodeNeedsReauth && t.Now().UnixMicro() < c.ExpiresAt {
		return connection, nil // the access token holds a little longer
	}
	return renewed, err
}

// openRenewed is open with another access token than c has. It fails without a request while the renewal waits after failures.
func (t *tokenRefresher) openRenewed(ctx context.Context, p *manifest.Provider, c *connectionRow) (manifest.Connection, error) {
	if err := t.checkBackoff(*c); err != nil {
		return manifest.Connection{}, err
	}
	renewed, err := t.renew(ctx, p, *c)
	if err != nil {
		return manifest.Connection{}, err
	}
	*c = renewed
	connection, _, err := t.vault.open(renewed)
	return connection, err
}

// renewable reports whether a new access token can be had without the user.
func renewable(method *manifest.AuthMethod, tokens tokenSet) bool {
	return method.Fetches() || tokens.Refresh != ""
}

// due reports whether a connection's access token is about to expire or has not been fetched yet.
func (t *tokenRefresher) due(method *manifest.AuthMethod, c *connectionRow, tokens tokenSet) bool {
	if method.Fetches() && tokens.Access == "" {
		return true
	}
	return c.ExpiresAt != 0 && t.Now().Add(expiryMargin).UnixMicro() >= c.ExpiresAt
}

// renew gets a new access token in place of c's. Of concurrent callers in all processes one makes the token request, and
// the others get its result. The error is a *subjects.Error.
func (t *tokenRefresher) renew(ctx context.Context, p *manifest.Provider, c connectionRow) (connectionRow, error) {
	result := t.renewals.DoChan(fmt.Sprintf("%s/%d", c.ID, c.TokenVersion), func() (any, error) {
		// The new tokens are stored even if every caller's context ends.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.DB.Detached(ctx)), t.config.renewWithin())
		defer cancel()
		renewed, err := t.renewOrWait(ctx, p, c)
		if err != nil {
			return nil, asError(err)
		}
		return renewed, nil
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return c, r.Err
		}
		return r.Val.(connectionRow), nil
	case <-ctx.Done():
		return c, asError(context.Cause(ctx))
	}
}

// renewOrWait claims the renewal and makes it, or waits for the process that has claimed it.
func (t *tokenRefresher) renewOrWait(ctx context.Context, p *manifest.Provider, c connectionRow) (connectionRow, error) {
	claim := t.NewID()
	for {
		renewed, done, err := t.tryRenew(ctx, p, c, claim)
		if done || err != nil {
			return renewed, err
		}
		if !sleep(ctx, claimPoll) {
			return c, subjects.Errorf(subjects.CodeUnavailable, "another process is renewing the connection's access token")
		}
	}
}

// tryRenew renews unless another process has claimed the renewal; then done is false.
func (t *tokenRefresher) tryRenew(ctx context.Context, p *manifest.Provider, c connectionRow, claim string) (renewed connectionRow, done bool, err error) {
	now, claimed := t.Now(), false
	err = t.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		claimed, err = claimTokens(ctx, tx, c, claim, now.UnixMicro(), now.Add(t.config.claimFor()).UnixMicro())
		return err
	})
	if err != nil {
		return c, false, err
	}
	if claimed {
		renewed, err = t.renewClaimed(ctx, p, c, claim)
		return renewed, true, err
	}
	current, err := t.connections.get(ctx, c.UserID, c.ID)
	if err != nil {
		return c, false, err
	}
	if current.TokenVersion != c.TokenVersion || current.Status != c.Status {
		return current, true, checkUsable(current)
	}
	return c, false, nil
}

// renewClaimed makes the token request and stores the tokens. The provider may have invalidated the refresh token as soon
// as the request is sent, so that the response is awaited and stored even if all callers are gone or the process is
// stopping.
func (t *tokenRefresher) renewClaimed(ctx context.Context, p *manifest.Provider, c connectionRow, claim string) (connectionRow, error) {
	ctx = context.WithoutCancel(ctx)
	t.inFlight.RLock()
	defer t.inFlight.RUnlock()
	connection, tokens, err := t.vault.open(c)
	if err != nil {
		return c, errors.Join(err, t.release(ctx, c, claim, err))
	}
	got, err := t.client.refresh(ctx, p, connection, tokens)
	t.metrics.renewed(p.ID, err)
	if err == nil {
		return t.storeRenewed(ctx, c, got, tokens)
	}
	var refused *manifest.TokenError
	if errors.As(err, &refused) && refused.Final {
		return t.renewalRefused(ctx, c, claim, p.ID+" refuses to renew the access token: "+refused.Error())
	}
	if released := t.release(ctx, c, claim, err); released != nil {
		t.Log.Warn("releasing a claim on tokens", zap.String("integration_id", c.ID), zap.Error(released))
	}
	return c, tokenFailure(p.ID, err)
}

func (t *tokenRefresher) storeRenewed(ctx context.Context, c connectionRow, got manifest.Tokens, previous tokenSet) (connectionRow, error) {
	got.Refresh, got.Scope = cmp.Or(got.Refresh, previous.Refresh), cmp.Or(got.Scope, previous.Scope)
	if err := t.setTokens(&c, got); err != nil {
		return c, err
	}
	stored, err := t.store(ctx, c)
	if err != nil {
		return c, err
	}
	if stored {
		c.TokenVersion++
		c.RefreshFailures, c.RefreshAfter = 0, 0
		if c.Status == subjects.ConnectionNeedsReauth {
			c.Status, c.Reason, c.Version = subjects.ConnectionActive, "", c.Version+1
		}
		return c, nil
	}
	// The user has replaced the tokens or disconnected since.
	current, err := t.connections.get(ctx, c.UserID, c.ID)
	if err != nil {
		return c, err
	}
	return current, checkUsable(current)
}

// store stores new tokens, which the provider does not issue again. It retries for less than a claim holds, so that no
// other process can have renewed them meanwhile.
func (t *tokenRefresher) store(ctx context.Context, c connectionRow) (stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.config.storeWithin())
	defer cancel()
	for {
		err = t.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
			stored, err = storeTokens(ctx, tx, c)
			return err
		})
		if err == nil || !sleep(ctx, storeRetry) {
			return stored, err
		}
	}
}

// renewalRefused marks a connection as needs_reauth, unless its tokens have been replaced since.
func (t *tokenRefresher) renewalRefused(ctx context.Context, c connectionRow, claim, reason string) (connectionRow, error) {
	current, err := t.connections.get(ctx, c.UserID, c.ID)
	if err != nil {
		return c, err
	}
	if current.TokenVersion != c.TokenVersion {
		return current, checkUsable(current)
	}
	if current.Status == subjects.ConnectionNeedsReauth { // the user had it tried again
		return current, errors.Join(checkUsable(current), t.release(ctx, current, claim, nil))
	}
	t.requireReauth(ctx, current, claim, reason)
	current.Status, current.Reason = subjects.ConnectionNeedsReauth, reason
	return current, checkUsable(current)
}

// requireReauth marks a connection as needs_reauth and publishes an event, unless the connection has changed since it was
// read or a renewal under another claim is in progress. Errors are only logged: the next call finds the same.
func (t *tokenRefresher) requireReauth(ctx context.Context, c connectionRow, claim, reason string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markWithin)
	defer cancel()
	c.Reason = reason
	err := t.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		marked, err := markNeedsReauth(ctx, tx, c, claim, c.Reason, t.Now().UnixMicro())
		if err != nil || !marked {
			return err
		}
		return publishChange(ctx, t.Deps, tx, subjects.IntegrationNeedsReauth, c)
	})
	if err != nil {
		t.Log.Error("marking a connection as needs_reauth", zap.String("integration_id", c.ID), zap.Error(err))
	}
}

// setTokens seals tokens into a connection, and sets when they expire, when to renew them, and the settings that came with
// them.
func (t *tokenRefresher) setTokens(c *connectionRow, got manifest.Tokens) error {
	if err := t.vault.sealTokens(c, tokenSet{Access: got.Access, Refresh: got.Refresh, Scope: got.Scope}); err != nil {
		return err
	}
	c.ExpiresAt, c.RefreshAt = 0, 0
	if !got.ExpiresAt.IsZero() {
		c.ExpiresAt = got.ExpiresAt.UnixMicro()
		if got.Refresh != "" {
			c.RefreshAt = refreshAt(t.Now(), got.ExpiresAt, t.config.Before, t.jitter()).UnixMicro()
		}
	}
	if len(got.Settings) == 0 {
		return nil
	}
	settings := c.settings()
	for name, value := range got.Settings {
		settings[name] = value
	}
	encoded, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("encoding settings: %w", err)
	}
	c.Settings = string(encoded)
	return nil
}

// refreshAt is when to renew a token ahead of its expiry: earlier by before, or by half its lifetime if that is less, and by
// a random part of up to half as much, which spreads the renewals of tokens that were issued together.
func refreshAt(now, expiry time.Time, before time.Duration, jitter float64) time.Time {
	margin := min(before, expiry.Sub(now)/2)
	return expiry.Add(-margin - time.Duration(jitter*float64(margin)/2))
}
