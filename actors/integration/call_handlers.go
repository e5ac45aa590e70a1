package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// execute runs an action. The HTTP call is made outside every transaction: only what follows from it (the mark on a
// connection that is refused) is written, after it.
func (a *Actor) execute(ctx context.Context, r subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
	none := subjects.ActionResult{}
	c, err := a.connectionFor(ctx, r.IntegrationID)
	if err != nil {
		return none, err
	}
	provider, err := a.provider(c.Provider)
	if err != nil {
		return none, err
	}
	action, ok := provider.Action(r.Action)
	if !ok {
		return none, subjects.Errorf(subjects.CodeNotFound, "%s has no action %s", c.Provider, r.Action)
	}
	input, err := decodeObject(r.Input)
	if err != nil {
		return none, subjects.InvalidField("input", "must be a JSON object")
	}
	o, callID, err := a.use(ctx, c, action, input, callIdentity{key: r.CallKey, repeated: r.Repeated})
	if err != nil {
		return none, err
	}
	output, err := json.Marshal(o.output)
	if err != nil {
		return none, fmt.Errorf("encoding an output: %w", err)
	}
	return subjects.ActionResult{Output: output, ProviderRequestID: o.requestID, Attempts: o.attempts, CallID: callID}, nil
}

// use makes one logged, guarded call over a connection of the caller's.
func (a *Actor) use(
	ctx context.Context, c connectionRow, action *manifest.Action, input map[string]any, identity callIdentity,
) (*outcome, string, error) {
	if err := mayBeUsed(c); err != nil {
		return nil, "", err
	}
	if err := action.ValidateInput(input); err != nil {
		return nil, "", invalidFields("input", err)
	}
	link, err := a.ready(ctx, action.Provider(), &c)
	if err != nil {
		return nil, "", err
	}
	callID := a.NewID()
	if identity.key == "" {
		identity.key = callID
	}
	begin := time.Now()
	o := a.callOver(ctx, &c, outgoing{
		provider: action.Provider(), action: action, link: link, owner: c.ID, input: input, identity: identity, door: a.guarded(grantOf(ctx)),
		again: func(ctx context.Context) error { return a.stillUsable(ctx, c) },
	})
	took := time.Since(begin)
	a.metrics.observe(c.Provider, action.ID, o.class(), took)
	err = o.refused
	if o.failed != nil && err == nil {
		err = a.codedFailure(c, o)
		if o.failed.Class == manifest.ClassAuth && o.failed.Expired {
			a.refuseConnection(ctx, c, o.failed)
		}
	}
	a.logCall(ctx, c, action.ID, callID, o, err, took)
	return o, callID, err
}

// mostRenewals is how often a call gets a new access token: a second time because another may be given out while it is on its
// way, with which the one that it got ends. Only who is refused thrice needs a new sign-in.
const mostRenewals = 2

// callOver is call, and where the provider says that the access token has ended, call once more with a new one: a token
// that is refused carries nothing out, so that this is safe for every action.
func (a *Actor) callOver(ctx context.Context, c *connectionRow, out outgoing) *outcome {
	o := a.call(ctx, out)
	o.link = out.link
	for range mostRenewals {
		if o.refused != nil || o.failed == nil || o.failed.Class != manifest.ClassAuth || !o.failed.Expired {
			return o
		}
		_, set, err := a.open(*c)
		method, ok := out.provider.AuthMethod(c.Auth)
		if err != nil || !ok || !renewable(method, set) {
			return o
		}
		if out.link, err = a.readyAnew(ctx, out.provider, c); err != nil {
			o.refused, o.failed = err, nil
			return o
		}
		before := o.attempts
		o = a.call(ctx, out)
		o.link, o.attempts = out.link, o.attempts+before
	}
	return o
}

// grantOf is what the caller acts under: the user under their own word, a service under the user's grant.
func grantOf(ctx context.Context) mesh.Grant {
	caller := actors.CallerFrom(ctx)
	if caller.Service != "" {
		return caller.Grant
	}
	return mesh.Grant{UserID: caller.UserID}
}

// connectionFor finds the connection that a caller names: by its id, or, for services, as <provider> or
// <provider>:<label>.
func (a *Actor) connectionFor(ctx context.Context, name string) (connectionRow, error) {
	caller := actors.CallerFrom(ctx)
	if isID(name) {
		return a.connection(ctx, caller.UserID, strings.ToLower(name))
	}
	if caller.Service == "" {
		return connectionRow{}, subjects.InvalidField("integration_id", "must be a connection's id")
	}
	provider, label, named := strings.Cut(name, ":")
	rows, err := connectionsTo(ctx, a.DB.DB, caller.UserID, provider, label)
	if err != nil {
		return connectionRow{}, err
	}
	if named && len(rows) == 0 {
		return connectionRow{}, subjects.Errorf(subjects.CodeNotFound, "there is no connection to %s labelled %q", provider, label)
	}
	return choose(provider, rows)
}

// cachedConnections bounds the connections that are kept in memory, a kilobyte or so each, sealed as they are at rest.
const cachedConnections = 4096

// connection is findConnection for calls, which ask for the same few over and over. It is never behind: see RowCache.
func (a *Actor) connection(ctx context.Context, userID, id string) (connectionRow, error) {
	return a.rows.Get(ctx, userID+" "+id, func(ctx context.Context) (connectionRow, error) {
		c, err := a.row.Get(ctx, strings.ToLower(id), userID)
		return c, noConnection(err)
	})
}

// stillUsable reads a connection again: it may have been disabled, changed or forgotten meanwhile.
func (a *Actor) stillUsable(ctx context.Context, c connectionRow) error {
	now, err := a.connection(ctx, c.UserID, c.ID)
	if err != nil {
		return asError(err)
	}
	return mayBeUsed(now)
}

// asError makes what a store says an answer of ours.
func asError(err error) error {
	var own *subjects.Error
	if errors.As(err, &own) {
		return err
	}
	return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "a store cannot be reached right now", RetryAfter: time.Second, Cause: err}
}

// refuseConnection notes that a provider refuses a connection's credentials, and says so to whoever listens. The answer
// does not wait for its success: the next call finds the same out.
func (a *Actor) refuseConnection(ctx context.Context, c connectionRow, f *manifest.CallError) {
	a.markForReauth(ctx, c, "", sayFailure(c.Provider, f))
}

// markForReauth has a connection's user sign in again, unless it has changed since it was read, or somebody else than by is
// getting it other tokens at this moment.
func (a *Actor) markForReauth(ctx context.Context, c connectionRow, by, reason string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callFlushWithin)
	defer cancel()
	c.Reason = reason
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
		news, err := markNeedsReauth(ctx, tx, c, by, c.Reason, a.Now().UnixMicro())
		if err != nil || !news {
			return err
		}
		return a.tell(ctx, tx, subjects.IntegrationNeedsReauth, c)
	})
	if err != nil {
		a.Log.Error("marking a connection that needs a new sign-in", zap.String("integration_id", c.ID), zap.Error(err))
	}
}

// logCall adds a call to the log, behind the answer's back.
func (a *Actor) logCall(ctx context.Context, c connectionRow, action, callID string, o *outcome, err error, took time.Duration) {
	row := callRow{
		ID: callID, ConnectionID: c.ID, UserID: c.UserID, Provider: c.Provider, Action: action, Caller: "user",
		At: a.Now().UnixMicro(), Duration: took.Microseconds(), Status: callOK, HTTPStatus: o.status, Attempts: o.attempts,
		ProviderRequestID: o.requestID,
	}
	if service := actors.CallerFrom(ctx).Service; service != "" {
		row.Caller = service
	}
	if err != nil {
		row.Status, row.Code, row.Class = callFailed, string(subjects.CodeOf(err)), o.class()
		var own *subjects.Error
		if o.failed != nil && o.refused == nil {
			row.Message = o.failed.Message
		} else if errors.As(err, &own) {
			row.Message = own.Detail
		}
	}
	if err := a.calls.add(row); err != nil {
		a.Log.Error("logging a call", zap.String("call_id", callID), zap.Error(err))
	}
}

func (a *Actor) listCalls(ctx context.Context, r subjects.ListCallsRequest) (subjects.Page[subjects.CallRecord], error) {
	none := subjects.Page[subjects.CallRecord]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	if _, err := findConnection(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r.IntegrationID); err != nil {
		return none, err
	}
	if err := a.calls.flush(ctx); err != nil {
		return none, err
	}
	rows, err := pageOfCalls(ctx, a.DB.DB, r, after[0])
	if err != nil {
		return none, err
	}
	items := make([]subjects.CallRecord, len(rows))
	for i, row := range rows {
		items[i] = row.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(c subjects.CallRecord) []string { return []string{c.ID} }), nil
}

// sweepBatch is how many old calls one transaction deletes.
const sweepBatch = 1000

// sweepCalls keeps the log of calls within its bounds until ctx ends.
func (a *Actor) sweepCalls(ctx context.Context) error {
	tick := time.NewTicker(a.config.Calls.SweepEvery)
	defer tick.Stop()
	for {
		if err := a.sweepOnce(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *Actor) sweepOnce(ctx context.Context) error {
	before := a.Now().Add(-a.config.Calls.KeepFor).UnixMicro()
	for dropped := int64(sweepBatch); dropped == sweepBatch; {
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
			dropped, err = dropOldCalls(ctx, tx, before, sweepBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
	ids, err := crowded(ctx, a.DB.DB, a.config.Calls.KeepNewest)
	if err != nil {
		return err
	}
	for _, id := range ids {
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return thin(ctx, tx, id, a.config.Calls.KeepNewest)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
