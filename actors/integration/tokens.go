package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

// Bounds of asking for tokens.
const (
	revokeWithin = 5 * time.Second
	maxTokenBody = 1 << 20
	// endsSoon is how near its end a token is not used any more.
	endsSoon = 10 * time.Second
	// claimPoll is how often another's claim is looked at.
	claimPoll = 50 * time.Millisecond
	// storeAgain is the pause before tokens are stored again that could not be.
	storeAgain = 200 * time.Millisecond
)

// claimFor is how long a claim holds. It outlives the request that is made under it by far: whoever takes it over after
// that knows that the one before is gone.
func (c RefreshConfig) claimFor() time.Duration { return 3 * c.Timeout }

// renewWithin bounds a renewal, its request and the wait for another's claim.
func (c RefreshConfig) renewWithin() time.Duration { return 2*c.Timeout + c.Timeout/4 }

// tokenSet is what a provider gave for a connection, as it is sealed.
type tokenSet struct {
	Access  string `json:"access_token,omitempty"`
	Refresh string `json:"refresh_token,omitempty"`
	Scope   string `json:"scope,omitempty"`
}

// ready is a connection as manifests see it, its access token not at its end. One that is renewed is also in c then.
func (a *Actor) ready(ctx context.Context, p *manifest.Provider, c *connectionRow) (manifest.Connection, error) {
	link, set, err := a.open(*c)
	if err != nil {
		return link, err
	}
	method, ok := p.AuthMethod(c.Auth)
	if !ok || !renewable(method, set) || !a.ended(method, c, set) {
		return link, nil
	}
	return a.readyAnew(ctx, p, c)
}

// readyAnew renews a connection's access token first, unless somebody else just has.
func (a *Actor) readyAnew(ctx context.Context, p *manifest.Provider, c *connectionRow) (manifest.Connection, error) {
	fresh, err := a.renew(ctx, p, *c)
	if err != nil {
		return manifest.Connection{}, err
	}
	*c = fresh
	link, _, err := a.open(fresh)
	return link, err
}

// renewable reports whether a new access token can be had without the user.
func renewable(method *manifest.AuthMethod, set tokenSet) bool {
	return method.Fetches() || set.Refresh != ""
}

// ended reports whether an access token is at its end, or has yet to be fetched.
func (a *Actor) ended(method *manifest.AuthMethod, c *connectionRow, set tokenSet) bool {
	if method.Fetches() && set.Access == "" {
		return true
	}
	return c.ExpiresAt != 0 && a.Now().Add(endsSoon).UnixMicro() >= c.ExpiresAt
}

// renew gets a connection a new access token in the place of the one that c has. Of any number who ask, in any number of
// processes, one asks the provider; the others get what it got. The error is a *subjects.Error.
func (a *Actor) renew(ctx context.Context, p *manifest.Provider, c connectionRow) (connectionRow, error) {
	result := a.renewing.DoChan(fmt.Sprintf("%s/%d", c.ID, c.TokenVersion), func() (any, error) {
		// What is renewed is stored whatever becomes of the caller.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.DB.Detached(ctx)), a.config.Refresh.renewWithin())
		defer cancel()
		fresh, err := a.renewOnce(ctx, p, c)
		if err != nil {
			return nil, asError(err)
		}
		return fresh, nil
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

// renewOnce takes the claim and asks, or waits for whoever has it.
func (a *Actor) renewOnce(ctx context.Context, p *manifest.Provider, c connectionRow) (connectionRow, error) {
	id := a.NewID()
	for {
		fresh, done, err := a.tryRenew(ctx, p, c, id)
		if done || err != nil {
			return fresh, err
		}
		if !waitFor(ctx, claimPoll) {
			return c, subjects.Errorf(subjects.CodeUnavailable, "another process is renewing the connection's access token")
		}
	}
}

// tryRenew renews if nobody else does; done is false where somebody does.
func (a *Actor) tryRenew(ctx context.Context, p *manifest.Provider, c connectionRow, id string) (fresh connectionRow, done bool, err error) {
	now, mine := a.Now(), false
	err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		mine, err = claimTokens(ctx, tx, c, id, now.UnixMicro(), now.Add(a.config.Refresh.claimFor()).UnixMicro())
		return err
	})
	if err != nil {
		return c, false, err
	}
	if mine {
		fresh, err = a.renewAsOwner(ctx, p, c, id)
		return fresh, true, err
	}
	current, err := findConnection(ctx, a.DB.DB, c.UserID, c.ID)
	if err != nil {
		return c, false, err
	}
	if current.TokenVersion != c.TokenVersion || current.Status != active {
		return current, true, mayBeUsed(current)
	}
	return c, false, nil
}

// renewAsOwner asks the provider, and stores what it gives before anybody uses it. Once asked, the provider has taken the
// refresh token for spent: its answer is waited for and kept even where nobody waits any more, or the process is about to end.
func (a *Actor) renewAsOwner(ctx context.Context, p *manifest.Provider, c connectionRow, id string) (connectionRow, error) {
	ctx = context.WithoutCancel(ctx)
	a.asking.RLock()
	defer a.asking.RUnlock()
	link, set, err := a.open(c)
	if err != nil {
		return c, errors.Join(err, a.release(ctx, c, id))
	}
	got, err := a.askAgain(ctx, p, link, set)
	a.metrics.renewed(p.ID, err)
	if err == nil {
		return a.keepRenewed(ctx, c, got, set)
	}
	var refused *manifest.TokenError
	if errors.As(err, &refused) && refused.Final {
		return a.giveUp(ctx, c, id, p.ID+" refuses to renew the sign-in: "+refused.Error())
	}
	if released := a.release(ctx, c, id); released != nil {
		a.Log.Warn("ending a claim on tokens", zap.String("integration_id", c.ID), zap.Error(released))
	}
	return c, tokenFailure(p.ID, err)
}

func (a *Actor) keepRenewed(ctx context.Context, c connectionRow, got manifest.Tokens, had tokenSet) (connectionRow, error) {
	if got.Refresh == "" {
		got.Refresh = had.Refresh
	}
	if got.Scope == "" {
		got.Scope = had.Scope
	}
	if err := a.holdTokens(&c, got); err != nil {
		return c, err
	}
	stored, err := a.store(ctx, c)
	if err != nil {
		return c, err
	}
	if stored {
		c.TokenVersion++
		return c, nil
	}
	// The user gave others meanwhile, or has disconnected.
	current, err := findConnection(ctx, a.DB.DB, c.UserID, c.ID)
	if err != nil {
		return c, err
	}
	return current, mayBeUsed(current)
}

// store stores new tokens, and tries again for as long as nobody else can have claimed them: they are not given twice.
func (a *Actor) store(ctx context.Context, c connectionRow) (stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.config.Refresh.Timeout)
	defer cancel()
	for {
		err = a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
			stored, err = storeTokens(ctx, tx, c)
			return err
		})
		if err == nil || !waitFor(ctx, storeAgain) {
			return stored, err
		}
	}
}

// giveUp has the user sign in again, unless the connection has other tokens by now.
func (a *Actor) giveUp(ctx context.Context, c connectionRow, id, reason string) (connectionRow, error) {
	current, err := findConnection(ctx, a.DB.DB, c.UserID, c.ID)
	if err != nil {
		return c, err
	}
	if current.TokenVersion != c.TokenVersion {
		return current, mayBeUsed(current)
	}
	a.markForReauth(ctx, current, id, reason)
	current.Status, current.Reason = needsReauth, reason
	return current, mayBeUsed(current)
}

// release ends a claim after a failure that passes; the next attempt ahead of time waits a while.
func (a *Actor) release(ctx context.Context, c connectionRow, id string) error {
	wait := a.config.Refresh.Every + time.Duration(a.jitter()*float64(a.config.Refresh.Every))
	retryAt := a.Now().Add(wait).UnixMicro()
	return a.DB.RunInTx(context.WithoutCancel(ctx), func(ctx context.Context, tx database.Tx) error {
		return releaseTokens(ctx, tx, c, id, retryAt)
	})
}

// askAgain asks for new tokens with what a connection has.
func (a *Actor) askAgain(ctx context.Context, p *manifest.Provider, link manifest.Connection, set tokenSet) (manifest.Tokens, error) {
	method, ok := p.AuthMethod(link.Auth)
	if !ok {
		return manifest.Tokens{}, fmt.Errorf("%s has no way to authenticate called %s any more", p.ID, link.Auth)
	}
	if method.Fetches() {
		return a.fetchTokens(ctx, p, method, link)
	}
	client := a.clientOf(p.ID, link.Credentials)
	r, err := method.RefreshRequest(link.Settings, client, set.Refresh)
	if err != nil {
		return manifest.Tokens{}, err
	}
	return a.askTokens(ctx, p, method, r, client.Secret, set.Refresh)
}

// fetchTokens gets an access token with the connection's own credentials.
func (a *Actor) fetchTokens(ctx context.Context, p *manifest.Provider, method *manifest.AuthMethod, link manifest.Connection) (manifest.Tokens, error) {
	if method.SelfIssues() {
		return method.SelfIssued(link, a.Now(), a.NewID())
	}
	r, err := method.GrantRequest(link, a.Now(), a.NewID())
	if err != nil {
		return manifest.Tokens{}, err
	}
	secret, _ := link.Credentials["client_secret"].(string)
	return a.askTokens(ctx, p, method, r, secret)
}

// askTokens makes a token request. What the provider says of it comes as a *manifest.TokenError; hidden are the
// request's secrets.
func (a *Actor) askTokens(
	ctx context.Context, p *manifest.Provider, method *manifest.AuthMethod, r *egress.Request, hidden ...string,
) (manifest.Tokens, error) {
	a.redirectOAuth(p.ID, r)
	r.Timeout, r.MaxBody = a.config.Refresh.Timeout, maxTokenBody
	report, err := a.breakers.Allow(p.ID, r.Hosts[0])
	if err != nil {
		return manifest.Tokens{}, &manifest.TokenError{Message: err.Error(), RetryAfter: a.config.Breaker.Open}
	}
	response, err := a.client.Do(ctx, *r)
	report(response, err)
	if err != nil {
		failed := manifest.Unanswered(err)
		return manifest.Tokens{}, &manifest.TokenError{Code: failed.Code, Message: failed.Message}
	}
	return method.Tokens(manifest.Answer{Status: response.Status, Header: response.Header, Body: response.Body, At: a.Now()}, hidden...)
}

// redirectOAuth has a request go to what the operator put in the place of a provider's OAuth addresses.
func (a *Actor) redirectOAuth(provider string, r *egress.Request) {
	r.URL = a.oauthAddress(provider, r.URL)
	if u, err := url.Parse(r.URL); err == nil {
		r.Hosts = []string{u.Host}
	}
}

// oauthAddress is an OAuth address of a provider's, at the operator's host where there is one.
func (a *Actor) oauthAddress(provider, address string) string {
	instead := a.config.Providers[provider].OAuthURL
	if instead == "" {
		return address
	}
	base, err := url.Parse(instead)
	if err != nil {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Scheme, u.Host = base.Scheme, base.Host
	return u.String()
}

// tokenFailure is a failed token request in the terms of the contract, where the grant may still be good.
func tokenFailure(provider string, err error) error {
	e := &subjects.Error{Code: subjects.CodeUnavailable, Detail: provider + " gives no access token right now", RetryAfter: 5 * time.Second, Cause: err}
	var refused *manifest.TokenError
	if errors.As(err, &refused) {
		e.Detail += ": " + refused.Error()
		e.RetryAfter = max(e.RetryAfter, refused.RetryAfter)
		return e
	}
	var unbuilt *manifest.BuildError
	if errors.As(err, &unbuilt) {
		return &subjects.Error{Code: subjects.CodeConflict, Detail: "the connection makes no token request: " + unbuilt.Error(), Cause: err}
	}
	return e
}

// clientOf is the application that a connection's tokens belong to: its own, or the operator's.
func (a *Actor) clientOf(provider string, credentials map[string]any) manifest.Client {
	if id, _ := credentials["client_id"].(string); id != "" {
		secret, _ := credentials["client_secret"].(string)
		return manifest.Client{ID: id, Secret: secret}
	}
	own := a.config.Providers[provider]
	return manifest.Client{ID: own.ClientID, Secret: own.ClientSecret.Reveal()}
}

// holdTokens seals tokens into a connection, with when they end and when to see to them.
func (a *Actor) holdTokens(c *connectionRow, got manifest.Tokens) error {
	plain, err := json.Marshal(tokenSet{Access: got.Access, Refresh: got.Refresh, Scope: got.Scope}) //nolint:gosec // it is sealed next
	if err != nil {
		return errors.New("encoding tokens failed") // the cause may quote them
	}
	if c.Tokens, err = a.Sealer.Seal(plain, sealedFor(c, "tokens")); err != nil {
		return err
	}
	c.ExpiresAt, c.RefreshAt = 0, 0
	if !got.ExpiresAt.IsZero() {
		c.ExpiresAt = got.ExpiresAt.UnixMicro()
		if got.Refresh != "" {
			c.RefreshAt = refreshAt(a.Now(), got.ExpiresAt, a.config.Refresh.Before, a.jitter()).UnixMicro()
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

// refreshAt is when to refresh a token ahead of time: before its end by the margin or half its life, whichever is less,
// and some jitter sooner, so that what was connected together is not refreshed together.
func refreshAt(now, end time.Time, before time.Duration, jitter float64) time.Time {
	margin := min(before, end.Sub(now)/2)
	return end.Add(-margin - time.Duration(jitter*float64(margin)/2))
}

// refreshToken asks for a new access token because the user says so.
func (a *Actor) refreshToken(ctx context.Context, r subjects.IntegrationRequest) (subjects.RefreshedToken, error) {
	none := subjects.RefreshedToken{}
	c, err := findConnection(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.IntegrationID)
	if err != nil {
		return none, err
	}
	if err := mayBeUsed(c); err != nil {
		return none, err
	}
	p, err := a.provider(c.Provider)
	if err != nil {
		return none, err
	}
	_, set, err := a.open(c)
	if err != nil {
		return none, err
	}
	if method, ok := p.AuthMethod(c.Auth); !ok || !renewable(method, set) {
		return none, subjects.Errorf(subjects.CodeConflict, "the connection has nothing to refresh its access token with")
	}
	if c, err = a.renew(ctx, p, c); err != nil {
		return none, err
	}
	if c.ExpiresAt == 0 {
		return none, nil
	}
	at := time.UnixMicro(c.ExpiresAt).UTC()
	return subjects.RefreshedToken{ExpiresAt: &at}, nil
}

// revokeTokens takes a connection's tokens back at the provider, as far as it can be reached.
func (a *Actor) revokeTokens(ctx context.Context, c connectionRow) {
	p, err := a.provider(c.Provider)
	if err != nil {
		return
	}
	link, set, err := a.open(c)
	method, ok := p.AuthMethod(c.Auth)
	if err != nil || !ok || set.Access == "" {
		return
	}
	r, can, err := method.RevokeRequest(link.Settings, a.clientOf(p.ID, link.Credentials), cmp.Or(set.Refresh, set.Access))
	if !can || err != nil {
		return
	}
	a.redirectOAuth(p.ID, r)
	r.Timeout, r.MaxBody = revokeWithin, maxTokenBody
	if _, err := a.client.Do(ctx, *r); err != nil {
		a.Log.Warn("taking tokens back", zap.String("integration_id", c.ID), zap.String("provider", p.ID), zap.Error(err))
	}
}
