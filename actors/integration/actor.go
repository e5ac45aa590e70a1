// Package integration is the actor that calls providers' APIs on users' behalf.
//
// It owns:
//   - the subjects weft.v1.integration.*;
//   - the tables connections, calls, hooks, hook_deliveries, probes, objects, object_parts, object_usage,
//     agent_policies and agent_approvals;
//   - the buckets integration_limits and integration_oauth_state, and the object store integration_objects;
//   - the events integration.connected, .disconnected, .needs_reauth, .webhook_received and .account_erased in the stream
//     EVENTS.
//
// It consumes auth.account_deleted. What a provider offers is declared in its manifest (packages manifest and providers);
// HTTP requests are made by package egress.
//
// Guarantees:
//   - Credentials exist only in the request that brings them, sealed in the table connections, and in requests to the
//     provider.
//   - A call starts only while the user consents to integrations.execute; none starts once a revocation has returned.
//   - An expiring access token is renewed once, by one process, and the new tokens are stored before they are used.
//   - A call that is not idempotent is retried only if the provider cannot have acted on it.
//   - Addresses that are not public are refused unless the operator allows them.
package integration

import (
	"context"
	"embed"
	"fmt"
	"math/rand/v2"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/dataexport"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/oauthstate"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are the actor's schema migrations.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Actor handles the requests to weft.v1.integration.*.
type Actor struct {
	actors.Deps
	config      Config
	registry    *registry
	breakers    *egress.Breakers
	limits      *limits
	metrics     metrics
	connections *connections
	vault       vault
	tokenClient *tokenClient
	tokens      *tokenRefresher
	calls       *callExecutor
	callLog     *callLog
	configurer  *configurer
	hookSecrets hookSecrets
	webhooks    *webhooks
	prober      *prober
	agents      *agents
	objects     *objects
	flows       *oauthstate.Store[authorizationFlow]
	bounds      *bounds
}

// New makes the actor. An invalid manifest disables its own provider and is logged.
func New(d actors.Deps, c Config) (*Actor, error) {
	known, err := openRegistry(c.ProvidersDir, d.Log)
	if err != nil {
		return nil, err
	}
	if err := c.check(known.knows); err != nil {
		return nil, err
	}
	client, err := egress.New(egress.Options{
		Allow: d.EgressAllow, AllowHTTP: d.EgressAllowHTTP, MaxBody: c.MaxResponse, Timeout: c.Timeout, UserAgent: "weft/" + d.Version,
		Reserve: actors.ReserveResponse,
	})
	if err != nil {
		return nil, fmt.Errorf("creating the HTTP client: %w", err)
	}
	a := &Actor{Deps: d, config: c, registry: known, connections: newConnections(d.DB), callLog: newCallLog(d, c.Calls)}
	if a.limits, err = openLimits(d, c.Providers); err != nil {
		return nil, err
	}
	if a.flows, err = openFlows(d); err != nil {
		return nil, err
	}
	a.breakers = egress.NewBreakers(egress.BreakerOptions{
		HalfOpen: uint32(c.Breaker.HalfOpen), Failures: uint32(c.Breaker.Failures), Open: c.Breaker.Open,
	})
	a.metrics = newMetrics(d.Metrics, c.Objects, a.breakerStates)
	a.bounds = newBounds(d, c)
	if a.objects, err = openObjects(d, c.Objects, a.metrics, a.bounds); err != nil {
		return nil, err
	}
	a.addEngines(client)
	return a, nil
}

// addEngines makes what the handlers work with from what New has opened.
func (a *Actor) addEngines(client *egress.Client) {
	d, c, jitter := a.Deps, a.config, rand.Float64
	a.vault = vault{sealer: d.Sealer, providers: c.Providers}
	a.tokenClient = &tokenClient{Deps: d, config: c, client: client, breakers: a.breakers}
	a.tokens = &tokenRefresher{
		Deps: d, config: c.Refresh, registry: a.registry, connections: a.connections, vault: a.vault, client: a.tokenClient,
		metrics: a.metrics, jitter: jitter,
	}
	a.calls = &callExecutor{
		Deps: d, config: c, client: client, breakers: a.breakers, limits: a.limits, connections: a.connections, vault: a.vault,
		tokens: a.tokens, objects: a.objects, log: a.callLog, metrics: a.metrics, jitter: jitter,
		proven: newProvenTokens(),
	}
	a.agents = &agents{Deps: d, config: c, registry: a.registry, calls: a.calls}
	a.configurer = &configurer{Deps: d, calls: a.calls, vault: a.vault, client: a.tokenClient, tokens: a.tokens}
	a.hookSecrets = hookSecrets{sealer: d.Sealer, now: d.Now, keepOld: c.Webhooks.OldSecret}
	a.webhooks = &webhooks{
		Deps: d, config: c, registry: a.registry, connections: a.connections, secrets: a.hookSecrets, keys: newHookKeys(client, d.Now),
		metrics: a.metrics, bounds: a.bounds,
	}
	a.prober = &prober{Deps: d, interval: c.ProbeEvery, registry: a.registry, connections: a.connections, calls: a.calls, jitter: jitter}
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
			actors.Bind(subjects.ReceiveWebhook, a.webhooks.receive),
			actors.Bind(subjects.AnswerWebhook, a.webhooks.answer),
			actors.Bind(subjects.CreateObject, a.createObject),
			actors.Bind(subjects.PutObjectPart, a.putObjectPart),
			actors.Bind(subjects.CompleteObject, a.completeObject),
			actors.Bind(subjects.GetObject, a.getObject),
			actors.Bind(subjects.ListObjects, a.listObjects),
			actors.Bind(subjects.GetObjectContent, a.objectContent),
			actors.Bind(subjects.DeleteObject, a.deleteObject),
			actors.Bind(subjects.GetIntegrationLimits, a.getLimits),
			actors.Bind(subjects.SearchActions, a.agents.searchActions),
			actors.Bind(subjects.GetAgentPolicy, a.agents.getAgentPolicy),
			actors.Bind(subjects.SetAgentPolicy, a.agents.setAgentPolicy),
			actors.Bind(subjects.ListAgentApprovals, a.agents.listAgentApprovals),
			actors.Bind(subjects.DecideAgentApproval, a.agents.decideAgentApproval),
			actors.Bind(subjects.AuthorizeAgentAction, a.agents.authorizeAgentAction),
			actors.Bind(subjects.AuthorizeAgentWorkflow, a.agents.authorizeAgentWorkflow),
			dataexport.Bind(subjects.ExportIntegrationSubject, a.Deps, ExportSet()),
		},
		Workers: []actors.Worker{actors.OnErasure(a.Deps, subjects.IntegrationErasure, subjects.IntegrationErased, a.eraseUser)},
		Background: map[string]func(context.Context) error{
			"call_log": a.callLog.run, "call_sweep": a.callLog.sweep, "hook_sweep": a.webhooks.sweep,
			"probes": a.prober.run, "token_refresh": a.tokens.run,
			"provider_folder": a.registry.watch, "objects": a.objects.run,
			"agent_approval_sweep": a.agents.sweepAgentApprovals,
		},
	}
}
