//go:build torture

package integration_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/runtime"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// limitStormMost bounds the requests of every limit in a period; limitStormTimes is the ratio of calls to it.
	limitStormMost  = 12
	limitStormTimes = 10
	// limitStormRate is the total rate of calls per second: what two cores can make and answer. At a higher rate the calls
	// would wait for each other and exhaust no limit. It determines the period of the limits.
	limitStormRate = 200
	// limitStormPeriods is the minimum length of a storm in periods.
	limitStormPeriods = 4
	// limitStormShare is the minimum share of the allowed calls that a storm must make.
	limitStormShare = 0.95
	// limitStormFew is how many providers a short storm uses. Its share is less, because its periods are so short that
	// delays of a busy machine matter.
	limitStormFew      = 8
	limitStormFewShare = 0.75
)

// strictProvider enforces limits in every sliding window, which is stricter than providers are.
type strictProvider struct {
	*httptest.Server
	period time.Duration
	limits map[string][]manifest.Limit // by provider/action
	mu     sync.Mutex
	taken  map[string][]time.Time // by provider/limit
	good   map[string]int
	bad    int
	all    int
}

func newStrictProvider(t *testing.T) *strictProvider {
	v := &strictProvider{limits: map[string][]manifest.Limit{}, taken: map[string][]time.Time{}, good: map[string]int{}}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

// ServeHTTP implements http.Handler.
func (v *strictProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	provider, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	w.Header().Set("Content-Type", "application/json")
	if action == "health" {
		fmt.Fprint(w, `{}`)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	v.all++
	for _, l := range v.limits[provider+"/"+action] {
		key := provider + "/" + l.ID
		v.taken[key] = slices.DeleteFunc(v.taken[key], func(at time.Time) bool { return now.Sub(at) >= time.Duration(l.Per) })
		if len(v.taken[key]) >= l.Requests {
			v.bad++
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{}`)
			return
		}
	}
	for _, l := range v.limits[provider+"/"+action] {
		v.taken[provider+"/"+l.ID] = append(v.taken[provider+"/"+l.ID], now)
		v.good[provider+"/"+l.ID]++
	}
	fmt.Fprint(w, `{}`)
}

// stripped is a provider with the limits of its manifest, in shorter periods, and actions without input.
func (v *strictProvider) stripped(t *testing.T, p *manifest.Provider) *manifest.Provider {
	t.Helper()
	limits, actions := []map[string]any{}, map[string]any{}
	for _, l := range p.Limits {
		one := map[string]any{"id": l.ID, "requests": min(l.Requests, limitStormMost), "per": fmt.Sprintf("%dms", v.period.Milliseconds()), "scope": "connection"}
		if l.OfProvider() {
			one["scope"] = "provider"
		}
		if len(l.Actions) > 0 {
			one["actions"] = l.Actions
		}
		limits = append(limits, one)
	}
	for _, a := range p.Actions {
		actions[a.ID] = map[string]any{
			"title": a.ID, "safety": "read", "method": "GET", "path": "/" + p.ID + "/" + a.ID, "input": map[string]any{"type": "object"},
		}
	}
	source, err := json.Marshal(map[string]any{
		"id": p.ID, "name": p.Name, "category": p.Category, "base_url": "https://provider.example", "auth": []any{map[string]any{"id": "none", "kind": "none"}},
		"limits": limits, "health": map[string]any{"method": "GET", "path": "/" + p.ID + "/health"}, "actions": actions,
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := manifest.Load(source)
	if err != nil {
		t.Fatalf("%s: %v", p.ID, err)
	}
	for _, a := range made.Actions {
		v.limits[p.ID+"/"+a.ID] = a.Limits()
	}
	return made
}

// TestLimitStorm calls providers from three processes, ten times as often as their manifests allow, against servers that
// enforce the declared limits. At most one of a thousand responses may be a refusal, and 95 % of the allowed calls must be
// made. A storm of less than a minute uses some of the providers and requires 75 %.
func TestLimitStorm(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("WEFT_TORTURE_DURATION"))
	if err != nil {
		duration = 5 * time.Second
	}
	long := duration >= time.Minute
	known, faults, err := manifest.LoadFS(providers.FS)
	if err != nil || len(faults) > 0 {
		t.Fatalf("%v %v", err, faults)
	}
	v := newStrictProvider(t)
	chosen, limits := map[string]*manifest.Provider{}, 0
	for _, id := range slices.Sorted(maps.Keys(known)) {
		if len(known[id].Limits) > 0 && (long || len(chosen) < limitStormFew) {
			chosen[id] = known[id]
			limits += len(stormActions(known[id]))
		}
	}
	v.period = time.Duration(limits*limitStormTimes*limitStormMost) * time.Second / limitStormRate
	duration = max(duration, limitStormPeriods*v.period)
	for id, p := range chosen {
		chosen[id] = v.stripped(t, p)
	}
	b := limitStormFixture(t, v, chosen)
	_, ada := b.user(t)
	connections := map[string]string{}
	for id := range chosen {
		connections[id] = call(t, b, subjects.ConnectIntegration, ada, subjects.ConnectIntegrationRequest{Provider: id}).ID
	}
	var calls, refused atomic.Int64
	var loads sync.WaitGroup
	begin := time.Now()
	for id, p := range chosen {
		for _, a := range stormActions(p) {
			narrowest := a.Limits()[0]
			interval := time.Duration(narrowest.Per) / time.Duration(limitStormTimes*narrowest.Requests)
			loads.Go(func() {
				b.load(t, ada, action(connections[id], a.ID, `{}`), interval, begin.Add(duration), &calls, &refused)
			})
		}
	}
	loads.Wait()
	took := time.Since(begin)
	share := limitStormFewShare
	if long {
		share = limitStormShare
	}
	v.report(t, chosen, took, calls.Load(), refused.Load(), share)
}

// stormActions are the actions that a storm calls: for each limit one for which it is the first limit, if there is one. If a
// provider has a limit for all actions it is used alone, because it keeps the others from being exhausted.
func stormActions(p *manifest.Provider) (list []*manifest.Action) {
	limits := p.Limits
	if i := slices.IndexFunc(limits, func(l manifest.Limit) bool { return len(l.Actions) == 0 }); i >= 0 {
		limits = limits[i : i+1]
	}
	for _, l := range limits {
		i := slices.IndexFunc(p.Actions, func(a *manifest.Action) bool { return len(a.Limits()) > 0 && a.Limits()[0].ID == l.ID })
		if i >= 0 {
			list = append(list, p.Actions[i])
		}
	}
	return list
}

// load makes a call at each interval until a time, without waiting for the previous call.
func (b *fixture) load(
	t *testing.T, as mesh.As, r subjects.ExecuteActionRequest, interval time.Duration, until time.Time, calls, refused *atomic.Int64,
) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var running sync.WaitGroup
	for now := range tick.C {
		if now.After(until) {
			break
		}
		running.Go(func() {
			_, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteAction, r, as)
			calls.Add(1)
			switch subjects.CodeOf(err) {
			case "":
			case subjects.CodeRateLimited:
				refused.Add(1)
			default:
				t.Errorf("%s: %v", r.Action, err)
			}
		})
	}
	running.Wait()
}

// limitStormFixture runs three integration actors on one PostgreSQL database, with the chosen providers only.
func limitStormFixture(t *testing.T, v *strictProvider, chosen map[string]*manifest.Provider) *fixture {
	t.Helper()
	kinds := actortest.Databases(t)
	m := actortest.Start(t, actortest.Quiet())
	b := &fixture{mesh: m, caller: m.Conn(t, "gateway"), db: kinds[len(kinds)-1].Config(t, "integration"), config: integration.DefaultConfig()}
	b.config.Providers = map[string]integration.ProviderConfig{}
	b.config.Limits.MaxWait, b.config.Retry.Attempts = 0, 1
	for id := range chosen {
		b.config.Providers[id] = integration.ProviderConfig{BaseURL: v.URL}
	}
	processes := 3
	if len(kinds) == 1 {
		processes = 1 // SQLite allows one
	}
	keyset := t.TempDir() + "/keyset"
	for range processes {
		m.Host(t, "integration", b.db, integration.Migrations, func(d actors.Deps) (actors.Service, error) {
			a, err := integration.NewWith(d, b.config, chosen)
			if err != nil {
				return actors.Service{}, err
			}
			return a.Service(), nil
		}, allowLoopback, func(c *runtime.HostConfig) { c.KeysetFile = keyset })
	}
	return b
}

func (v *strictProvider) report(t *testing.T, chosen map[string]*manifest.Provider, took time.Duration, calls, refused int64, share float64) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	var got, allowed float64
	for id, p := range chosen {
		narrow := map[string]bool{}
		for _, a := range stormActions(p) {
			narrow[a.Limits()[0].ID] = true
		}
		for _, l := range p.Limits {
			if !narrow[l.ID] {
				continue
			}
			may := float64(l.Requests) * took.Seconds() / time.Duration(l.Per).Seconds()
			got, allowed = got+float64(v.good[id+"/"+l.ID]), allowed+may
			t.Logf("%-20s %-16s %4d of %6.1f allowed (%.1f %%)", id, l.ID, v.good[id+"/"+l.ID], may, 100*float64(v.good[id+"/"+l.ID])/may)
		}
	}
	t.Logf("%d providers, periods of %s, %s: %d calls, %d refused by weft; of %d responses %d (%.3f %%) were 429; %.1f %% of the allowed calls were made",
		len(chosen), v.period, took.Round(time.Millisecond), calls, refused, v.all, v.bad, 100*float64(v.bad)/float64(v.all), 100*got/allowed)
	if float64(v.bad) > 0.001*float64(v.all) {
		t.Errorf("%d of %d responses were 429", v.bad, v.all)
	}
	if got < share*allowed {
		t.Errorf("%.1f %% of the allowed calls were made", 100*got/allowed)
	}
}
