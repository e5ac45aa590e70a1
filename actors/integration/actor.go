// Package integration is the actor that talks to providers on users' behalf.
//
// It owns the subjects weft.v1.integration.*, the tables connections, calls, hooks, hook_deliveries, probes, objects,
// object_parts and object_usage, the buckets integration_limits and integration_oauth_state, the object store
// integration_objects, and the events integration.connected, .disconnected, .needs_reauth and .webhook_received. What a
// provider can do stands in its manifest (folders manifest and providers); how a call leaves the house is egress's.
//
// Its promises: a credential is in a request to this actor, sealed in the table connections, and in a request to its
// provider, and nowhere else; no call starts without the user's consent to integrations.execute at that moment, and
// none after its revocation has returned; an expiring access token is renewed once, by one process, and what the provider
// gave is stored before it is used; a call that must not run twice is repeated only where the provider cannot
// have acted. It refuses addresses that are not public, unless the operator allows them.
package integration

import (
	"context"
	"embed"
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are the actor's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Actor talks to providers.
type Actor struct {
	actors.Deps
	config   Config
	shelf    *shelf
	client   *egress.Client
	breakers *egress.Breakers
	calls    *callLog
	hookKeys *hookKeys
	limits   *limits
	metrics  metrics
	jitter   func() float64
	states   *actors.States[errand]
	renewing singleflight.Group
	// asking is read-locked while a provider is asked for tokens and until they are stored.
	asking sync.RWMutex
	// rows are the connections that are being called over; row reads one.
	rows *actors.RowCache[connectionRow]
	row  *actors.PreparedRow[connectionRow]
	// objects are the files that go by reference.
	objects *objects
}

// New makes the actor. A faulty manifest costs its own provider and a line in the log.
func New(d actors.Deps, c Config) (*Actor, error) {
	known, err := openShelf(c.ProvidersDir, d.Log)
	if err != nil {
		return nil, err
	}
	if err := c.check(known.knows); err != nil {
		return nil, err
	}
	client, err := egress.New(egress.Options{
		Allow: d.EgressAllow, AllowHTTP: d.EgressAllowHTTP, MaxBody: c.MaxResponse, Timeout: c.Timeout, UserAgent: "weft/" + d.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	a := &Actor{Deps: d, config: c, shelf: known, client: client, jitter: rand.Float64, rows: actors.NewRowCache[connectionRow](d.DB, cachedConnections)}
	a.row = actors.NewPreparedRow[connectionRow](d.DB, whichConnection)
	a.hookKeys = newHookKeys(client, d.Now)
	if a.limits, err = openLimits(d, c.Providers); err != nil {
		return nil, err
	}
	if a.states, err = openStates(d); err != nil {
		return nil, err
	}
	a.breakers = egress.NewBreakers(egress.BreakerOptions{
		HalfOpen: uint32(c.Breaker.HalfOpen), Failures: uint32(c.Breaker.Failures), Open: c.Breaker.Open,
	})
	a.calls = newCallLog(func(ctx context.Context, rows []callRow) error {
		return d.DB.RunAside(ctx, func(ctx context.Context, tx actors.Tx) error { return insertCalls(ctx, tx, rows) })
	})
	a.metrics = newMetrics(d.Metrics, c.Objects, a.breakerStates)
	if a.objects, err = openObjects(d, c.Objects, a.metrics); err != nil {
		return nil, err
	}
	return a, nil
}

// Service is the actor as the runtime runs it.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name: "integration",
		Bindings: []actors.Binding{
			actors.Bind(subjects.ListProviders, a.listProviders),
			actors.Bind(subjects.GetProvider, a.getProvider),
			actors.Bind(subjects.GetProviderStatus, a.providerStatus),
			actors.Bind(subjects.ConnectIntegration, a.connect),
			actors.Bind(subjects.GetUserIntegrations, a.listConnections),
			actors.Bind(subjects.GetIntegration, a.getConnection),
			actors.Bind(subjects.UpdateIntegration, a.updateConnection),
			actors.Bind(subjects.DisconnectIntegration, a.disconnect),
			actors.Bind(subjects.GetAuthURL, a.authURL),
			actors.Bind(subjects.ExchangeCode, a.exchangeCode),
			actors.Bind(subjects.OAuthCallback, a.oauthCallback),
			actors.Bind(subjects.RefreshConnection, a.refreshToken),
			actors.Bind(subjects.ExecuteAction, a.execute),
			actors.Bind(subjects.ProxyCall, a.proxy),
			actors.Bind(subjects.ListCalls, a.listCalls),
			actors.Bind(subjects.CreateHook, a.createHook),
			actors.Bind(subjects.ListHooks, a.listHooks),
			actors.Bind(subjects.GetHook, a.getHook),
			actors.Bind(subjects.DeleteHook, a.deleteHook),
			actors.Bind(subjects.RotateHookSecret, a.rotateHookSecret),
			actors.Bind(subjects.ReceiveWebhook, a.receiveWebhook),
			actors.Bind(subjects.AnswerWebhook, a.answerWebhook),
			actors.Bind(subjects.CreateObject, a.createObject),
			actors.Bind(subjects.PutObjectPart, a.putObjectPart),
			actors.Bind(subjects.CompleteObject, a.completeObject),
			actors.Bind(subjects.GetObject, a.getObject),
			actors.Bind(subjects.ListObjects, a.listObjects),
			actors.Bind(subjects.GetObjectContent, a.objectContent),
			actors.Bind(subjects.DeleteObject, a.deleteObject),
		},
		Workers: []actors.Worker{actors.Forget(a.Deps, subjects.IntegrationErasure, subjects.IntegrationErased, a.forget)},
		Background: map[string]func(context.Context) error{
			"call_log": a.calls.run, "call_sweep": a.sweepCalls, "hook_sweep": a.sweepDeliveries,
			"probes": a.probeConnections, "token_refresh": a.refreshTokens,
			"provider_folder": a.shelf.watch, "objects": a.objects.run,
		},
	}
}
