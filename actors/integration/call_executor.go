package integration

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// callExecutor calls providers: under the user's consent, within rate limits and circuit breakers, with retries and token
// renewal, and logged. Its files are call_executor.go (a logged call of a connection), call_attempt.go (one request and
// its attempts) and object_transfer.go (files in requests and responses).
type callExecutor struct {
	actors.Deps
	config      Config
	client      *egress.Client
	breakers    *egress.Breakers
	limits      *limits
	connections *connections
	vault       vault
	tokens      *tokenRefresher
	objects     *objects
	log         *callLog
	metrics     metrics
	jitter      func() float64
	proven      *provenTokens
}

// startGuard decides whether one attempt may start, and runs start if it may. start calls started once the attempt cannot
// be cancelled any more.
type startGuard func(ctx context.Context, start func(ctx context.Context, started func()) error) error

// unguarded lets every attempt start. It is for the probe of credentials, which their owner has just supplied.
func unguarded(ctx context.Context, start func(context.Context, func()) error) error {
	return start(ctx, func() {})
}

// guarded requires the user's consent to integrations.execute.
func (e *callExecutor) guarded(grant mesh.Grant) startGuard {
	return func(ctx context.Context, start func(context.Context, func()) error) error {
		return e.Guard.Do(ctx, grant, subjects.ScopeIntegrationsExecute, start)
	}
}

// callSpec is a call to make.
type callSpec struct {
	provider   *manifest.Provider
	action     *manifest.Action
	connection manifest.Connection
	// connectionID is the key of limits that count for each connection.
	connectionID string
	input        map[string]any
	identity     callIdentity
	guard        startGuard
	// recheck returns an error if the connection may not be used any more. It is called before each further attempt, and
	// may be nil.
	recheck func(context.Context) error
	// steps are the outputs of the action's preceding requests, by id.
	steps map[string]any
}

// callIdentity identifies a call. key is the same for all attempts of it. repeated means that the caller may have made the
// call before, with an unknown outcome. noWait means that the caller waits for rate limits itself. client is the program that the log
// names.
type callIdentity struct {
	key      string
	repeated bool
	noWait   bool
	client   string
}

// longestWait is how long a call with noWait waits for a rate limit.
const longestWait = time.Second

// returnsWait reports whether the caller is to wait so long for a rate limit. It is not once a preceding request was made: the call
// would make that again.
func (s callSpec) returnsWait(wait time.Duration) bool {
	return s.identity.noWait && wait > longestWait && len(s.steps) == 0
}

// outcome is the result of a call: output, or failed, or refused.
type outcome struct {
	output any
	// failed is an error response of the provider or a missing response; err is egress's error in the latter case.
	failed *manifest.CallError
	err    error
	// refused is a *subjects.Error of weft's own. The last attempt was not sent.
	refused   error
	status    int
	answer    manifest.Answer
	attempts  int
	safety    egress.Safety
	host      string
	requestID string
	// connection is what the last attempt used.
	connection manifest.Connection
}

// class is the outcome's label in metrics and the call log.
func (o *outcome) class() string {
	switch {
	case o.refused != nil:
		return classRefused
	case o.failed != nil:
		return string(o.failed.Class)
	}
	return callOK
}

// tokenExpired reports whether the provider refused the call because the access token is expired or revoked.
func (o *outcome) tokenExpired() bool {
	return o.refused == nil && o.failed != nil && o.failed.Class == manifest.ClassAuth && o.failed.Expired
}

// run makes a guarded, logged call with a connection of the caller's. It returns the call's id, and a coded error if the
// call was refused or failed. The outcome is nil if no call was attempted.
func (e *callExecutor) run(
	ctx context.Context, c connectionRow, action *manifest.Action, input map[string]any, identity callIdentity,
) (*outcome, string, error) {
	if err := checkUsable(c); err != nil {
		return nil, "", err
	}
	input, err := action.WithDefaults(input, c.settings(), c.account())
	if err != nil {
		return nil, "", buildError(action, err)
	}
	if err := action.ValidateInput(input); err != nil {
		return nil, "", invalidFields(inputField(action), err)
	}
	connection, err := e.tokens.open(ctx, action.Provider(), &c)
	if err != nil {
		return nil, "", err
	}
	callID := e.NewID()
	if identity.key == "" {
		identity.key = callID
	}
	begin := time.Now()
	o := e.callRenewing(ctx, &c, callSpec{
		provider: action.Provider(), action: action, connection: connection, connectionID: c.ID, input: input, identity: identity,
		guard:   e.guarded(grantOf(ctx)),
		recheck: func(ctx context.Context) error { return e.recheck(ctx, c) },
	})
	took := time.Since(begin)
	e.metrics.observe(c.Provider, action.ID, o.class(), took)
	err = o.refused
	if o.failed != nil && err == nil {
		err = codedFailure(c.Provider, o, e.config.Breaker.Open)
		if o.tokenExpired() {
			e.tokens.requireReauth(ctx, c, "", describeFailure(c.Provider, o.failed))
		}
	}
	e.record(ctx, c, action.ID, callID, identity.client, o, err, took)
	return o, callID, err
}

// grantOf is the grant that the caller acts under. A user's request is its own authority; a service names a user's grant.
func grantOf(ctx context.Context) mesh.Grant {
	caller := actors.CallerFrom(ctx)
	if caller.Service != "" {
		return caller.Grant
	}
	return mesh.Grant{UserID: caller.UserID}
}

// connectionNamed finds a connection of the caller's: by its id or, for services, by <provider> or <provider>:<label>.
func (e *callExecutor) connectionNamed(ctx context.Context, name string) (connectionRow, error) {
	caller := actors.CallerFrom(ctx)
	if isID(name) {
		return e.connections.cached(ctx, caller.UserID, name)
	}
	if caller.Service == "" {
		return connectionRow{}, subjects.InvalidField("integration_id", "must be a connection's id")
	}
	provider, label, named := strings.Cut(name, ":")
	rows, err := connectionsTo(ctx, e.DB.DB, caller.UserID, provider, label)
	if err != nil {
		return connectionRow{}, err
	}
	if named && len(rows) == 0 {
		return connectionRow{}, subjects.Errorf(subjects.CodeNotFound, "there is no connection to %s labelled %q", provider, label)
	}
	return chooseConnection(provider, rows)
}

// recheck reads a connection again, which may have been disabled, changed or deleted since.
func (e *callExecutor) recheck(ctx context.Context, c connectionRow) error {
	current, err := e.connections.cached(ctx, c.UserID, c.ID)
	if err != nil {
		return asError(err)
	}
	return checkUsable(current)
}

// record logs a call asynchronously.
func (e *callExecutor) record(ctx context.Context, c connectionRow, action, callID, client string, o *outcome, err error, took time.Duration) {
	row := callRow{
		ID: callID, ConnectionID: c.ID, UserID: c.UserID, Provider: c.Provider, Action: action, Caller: "user", Client: client,
		At: e.Now().UnixMicro(), Duration: took.Microseconds(), Status: callOK, HTTPStatus: o.status, Attempts: o.attempts,
		ProviderRequestID: o.requestID,
	}
	if service := actors.CallerFrom(ctx).Service; service != "" {
		row.Caller = service
	}
	if err != nil {
		row.Status, row.Code, row.Class = callFailed, string(subjects.CodeOf(err)), o.class()
		var coded *subjects.Error
		if o.failed != nil && o.refused == nil {
			row.Message = o.failed.Message
		} else if errors.As(err, &coded) {
			row.Message = coded.Detail
		}
	}
	if err := e.log.add(row); err != nil {
		e.Log.Error("logging a call", zap.String("call_id", callID), zap.Error(err))
	}
}
