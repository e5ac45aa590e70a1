package integration

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

func (a *Actor) listProviders(_ context.Context, r subjects.ListProvidersRequest) (subjects.Page[subjects.Provider], error) {
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return subjects.Page[subjects.Provider]{}, err
	}
	var items []subjects.Provider
	for _, p := range a.registry.all() {
		if p.ID > after[0] && (r.Category == "" || r.Category == p.Category) && matches(p, r.Query) {
			items = append(items, a.summary(p))
		}
	}
	return actors.PageOf(items, r.PageLimit(), func(p subjects.Provider) []string { return []string{p.ID} }), nil
}

// matches reports whether a provider's id, name or description contains a text.
func matches(p *manifest.Provider, query string) bool {
	query = strings.ToLower(query)
	return slices.ContainsFunc([]string{p.ID, p.Name, p.Description}, func(text string) bool {
		return strings.Contains(strings.ToLower(text), query)
	})
}

func (a *Actor) summary(p *manifest.Provider) subjects.Provider {
	s := subjects.Provider{
		ID: p.ID, Name: p.Name, Description: p.Description, Category: p.Category, Docs: p.Docs, ActionCount: len(p.Actions),
		AuthType: string(manifest.AuthNone), Status: "available",
	}
	if len(p.Auth) > 0 {
		s.AuthType = string(p.Auth[0].Kind)
	}
	if hasFixedHosts(p) && worstBreaker(a.breakers.States(p.ID)) != breakerClosed {
		s.Status = "failing"
	}
	return s
}

// hasFixedHosts reports whether no connection's settings can change a provider's hosts. The state of its breakers is not
// private to a user then.
func hasFixedHosts(p *manifest.Provider) bool {
	properties, _ := p.Settings["properties"].(map[string]any)
	return len(properties) == 0
}

func (a *Actor) getProvider(_ context.Context, r subjects.ProviderRequest) (subjects.ProviderDetail, error) {
	p, err := a.registry.find(r.Provider)
	if err != nil {
		return subjects.ProviderDetail{}, err
	}
	d := subjects.ProviderDetail{Provider: a.summary(p), Settings: p.Settings, Scopes: p.Scopes}
	for _, m := range p.Auth {
		d.Auth = append(d.Auth, subjects.ProviderAuth{
			ID: m.ID, Kind: string(m.Kind), Title: m.Title, Help: m.Help, Credentials: m.Credentials,
		})
	}
	for _, l := range p.Limits {
		limit := subjects.ProviderLimit{
			ID: l.ID, Requests: l.Requests, Seconds: time.Duration(l.Per).Seconds(), Scope: l.Scope, Actions: l.Actions,
		}
		if limit.Scope == "" {
			limit.Scope = "connection"
		}
		d.Limits = append(d.Limits, limit)
	}
	for _, action := range p.Actions {
		d.Actions = append(d.Actions, subjects.ProviderAction{
			ID: action.ID, Title: action.Title, Description: action.Description, Docs: action.Docs, Scopes: action.Scopes,
			Safety: string(action.Safety), Input: action.Input, OutputSchema: action.OutputSchema, Example: action.Example,
			Paginated: action.Paginated,
		})
	}
	return d, nil
}

// shownFailures is how many failed calls a provider's status contains.
const shownFailures = 10

// providerStatus is a provider's status for the caller: it contains no hosts or errors of other users.
func (a *Actor) providerStatus(ctx context.Context, r subjects.ProviderRequest) (subjects.ProviderHealth, error) {
	none := subjects.ProviderHealth{}
	if _, fault := a.registry.get(r.Provider); fault != "" {
		return subjects.ProviderHealth{
			Provider: r.Provider, Breaker: breakerClosed, Hosts: map[string]string{}, Failures: []subjects.ProviderFailure{}, Fault: fault,
		}, nil
	}
	p, err := a.registry.find(r.Provider)
	if err != nil {
		return none, err
	}
	userID := actors.CallerFrom(ctx).UserID
	rows, err := connectionsTo(ctx, a.DB.DB, userID, p.ID, "")
	if err != nil {
		return none, err
	}
	if err := a.callLog.flush(ctx); err != nil {
		return none, err
	}
	failures, err := lastFailures(ctx, a.DB.DB, userID, p.ID, shownFailures)
	if err != nil {
		return none, err
	}
	s := subjects.ProviderHealth{Provider: p.ID, Hosts: map[string]string{}, Probe: lastSetupProbe(rows), Failures: []subjects.ProviderFailure{}}
	if hasFixedHosts(p) {
		s.Hosts = a.breakers.States(p.ID)
	}
	for _, c := range rows {
		if c.Host != "" {
			s.Hosts[c.Host] = a.breakers.State(p.ID, c.Host)
		}
	}
	s.Breaker = worstBreaker(s.Hosts)
	s.Limits = a.limits.headroom(ctx, p, rows)
	if err := a.addScheduledProbe(ctx, userID, &s); err != nil {
		return none, err
	}
	for _, f := range failures {
		s.Failures = append(s.Failures, subjects.ProviderFailure{
			At: time.UnixMicro(f.At).UTC(), Action: f.Action, Class: f.Class, Message: f.Message,
		})
	}
	return s, nil
}

// lastSetupProbe returns the newest probe that was made when one of the connections was configured.
func lastSetupProbe(rows []connectionRow) *subjects.ProviderProbe {
	var newest *subjects.ProviderProbe
	for _, c := range rows {
		at := time.UnixMicro(c.ProbedAt).UTC()
		if c.ProbedAt != 0 && (newest == nil || at.After(newest.At)) {
			newest = &subjects.ProviderProbe{At: at, IntegrationID: c.ID, OK: c.ProbeClass == "", Class: c.ProbeClass}
		}
	}
	return newest
}

// addScheduledProbe sets a status's probe to the newest scheduled one, if that is newer than the one it has.
func (a *Actor) addScheduledProbe(ctx context.Context, userID string, s *subjects.ProviderHealth) error {
	p, err := lastProbeTo(ctx, a.DB.DB, userID, s.Provider)
	at := time.UnixMicro(p.At).UTC()
	if err != nil || p.At == 0 || s.Probe != nil && s.Probe.At.After(at) {
		return err
	}
	s.Probe = &subjects.ProviderProbe{
		At: at, IntegrationID: p.ConnectionID, OK: p.Class == "", Class: p.Class, LatencyMS: float64(p.Duration) / 1000,
	}
	return nil
}
