package integration

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// maxProvenTokens is how many connections provenTokens remembers.
const maxProvenTokens = 4096

// provenTokens remembers, by connection, the version of the access token that the health probe accepted after a resource had refused
// it. It saves renewals: a further refusal of the same token is first met with a probe.
type provenTokens struct{ versions *lru.Cache[string, int64] }

func newProvenTokens() *provenTokens {
	versions, err := lru.New[string, int64](maxProvenTokens)
	if err != nil {
		panic(err) // maxProvenTokens is not positive
	}
	return &provenTokens{versions}
}

func (p *provenTokens) has(c connectionRow) bool {
	version, known := p.versions.Get(c.ID)
	return known && version == c.TokenVersion
}

// callRenewing makes a call, and repeats it once with a new access token if the provider refused the token. That is safe for every
// action, because a provider does not act on a request whose token it refuses.
//
// A single resource may answer 401 to a good token. So a refusal is the connection's (see outcome.tokenExpired) only if the health
// probe is refused as well. Otherwise it is the call's.
func (e *callExecutor) callRenewing(ctx context.Context, c *connectionRow, spec callSpec) *outcome {
	o := e.call(ctx, spec)
	o.connection = spec.connection
	if !o.tokenExpired() || e.proven.has(*c) && e.absolves(ctx, *c, spec, o) {
		return o
	}
	again := func() *outcome {
		before := o.attempts
		o = e.call(ctx, spec)
		o.connection, o.attempts = spec.connection, o.attempts+before
		return o
	}
	if e.renewable(*c, spec.provider) {
		var err error
		if spec.connection, err = e.tokens.openRenewed(ctx, spec.provider, c); err != nil {
			o.refused, o.failed = err, nil
			return o
		}
		if !again().tokenExpired() {
			return o
		}
		// A concurrent renewal may have invalidated the token that the call has just received.
		current, err := e.connections.get(ctx, c.UserID, c.ID)
		if err == nil && current.TokenVersion != c.TokenVersion && checkUsable(current) == nil {
			if connection, _, err := e.vault.open(current); err == nil {
				*c, spec.connection = current, connection
				if !again().tokenExpired() {
					return o
				}
			}
		}
	}
	e.absolves(ctx, *c, spec, o)
	return o
}

// renewable reports whether a connection's access token can be renewed without the user.
func (e *callExecutor) renewable(c connectionRow, p *manifest.Provider) bool {
	_, tokens, err := e.vault.open(c)
	method, ok := p.AuthMethod(c.Auth)
	return err == nil && ok && renewable(method, tokens)
}

// absolves reports whether the health probe does not confirm that the provider refuses the connection's credentials, and then makes the
// refusal one of the call alone. A call that is the health probe confirms itself.
func (e *callExecutor) absolves(ctx context.Context, c connectionRow, spec callSpec, o *outcome) bool {
	if spec.action == spec.provider.Health {
		return false
	}
	probe := spec
	probe.action, probe.input, probe.identity, probe.steps = spec.provider.Health, map[string]any{}, callIdentity{key: e.NewID()}, nil
	answer := e.call(ctx, probe)
	e.metrics.observe(c.Provider, probe.action.ID, answer.class(), 0)
	if answer.tokenExpired() {
		return false
	}
	if answer.refused == nil && answer.failed == nil {
		e.proven.versions.Add(c.ID, c.TokenVersion)
	}
	o.failed.Expired = false
	return true
}
