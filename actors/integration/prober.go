package integration

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/subjects"
)

const (
	// probeBatch is how many due probes a process makes between two queries.
	probeBatch = 20
	// probeWithin bounds one probe with its attempts.
	probeWithin = time.Minute
	// callerProbe is the caller of scheduled probes in the call log.
	callerProbe = "probe"
)

// prober probes active connections on a schedule. A probe is a call on its owner's behalf: it requires the owner's consent
// to integrations.execute.
type prober struct {
	actors.Deps
	interval    time.Duration
	registry    *registry
	connections *connections
	calls       *callExecutor
	jitter      func() float64
}

// run makes the due probes until ctx ends.
func (p *prober) run(ctx context.Context) error {
	if p.interval == 0 {
		<-ctx.Done()
		return nil
	}
	return wait.Repeat(ctx, max(p.interval/20, 100*time.Millisecond), p.probeDue)
}

// next is when a probe is due next: after 75 % to 125 % of the interval, which spreads connections that were created
// together.
func (p *prober) next() int64 {
	factor := 0.75 + 0.5*p.jitter()
	return p.Now().Add(time.Duration(float64(p.interval) * factor)).UnixMicro()
}

func (p *prober) probeDue(ctx context.Context) error {
	err := p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return scheduleProbes(ctx, tx, sweepBatch, p.next) })
	if err != nil {
		return err
	}
	due, err := dueProbes(ctx, p.DB.DB, p.Now().UnixMicro(), probeBatch)
	if err != nil {
		return err
	}
	for _, row := range due {
		var claimed bool
		err := p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
			claimed, err = claimProbe(ctx, tx, row, p.next())
			return err
		})
		if err != nil {
			return err
		}
		if !claimed {
			continue
		}
		if err := p.probe(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// probe makes one scheduled probe. One that weft refuses itself (no consent, exhausted limit, no credentials) is not
// recorded, because it says nothing about the provider.
func (p *prober) probe(ctx context.Context, row probeRow) error {
	c, err := p.connections.get(ctx, row.UserID, row.ConnectionID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return deleteProbe(ctx, tx, row.ConnectionID) })
	}
	if err != nil || c.Status != subjects.ConnectionActive {
		return err // the last probe of an inactive connection is kept
	}
	provider, _ := p.registry.get(c.Provider)
	if provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	grant, err := p.Guard.Check(ctx, c.UserID, subjects.ScopeIntegrationsExecute)
	if err != nil {
		return nil // no probe without consent
	}
	as := actors.WithCaller(ctx, actors.Caller{Service: callerProbe, UserID: c.UserID, Grant: grant})
	begin := time.Now()
	o, _, err := p.calls.run(as, c, provider.Health, map[string]any{}, callIdentity{})
	if o == nil || o.refused != nil {
		p.Log.Debug("probe skipped", zap.String("integration_id", c.ID), zap.Error(err))
		return nil
	}
	row.At, row.Duration, row.Class = p.Now().UnixMicro(), time.Since(begin).Microseconds(), ""
	if o.failed != nil {
		row.Class = string(o.failed.Class)
	}
	return p.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return recordProbe(ctx, tx, row) })
}
