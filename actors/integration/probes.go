package integration

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/subjects"
)

const (
	// probeBatch is how many probes a process makes of one look at the schedule.
	probeBatch = 20
	// probeWithin bounds one probe with its attempts.
	probeWithin = time.Minute
	// callerProbe names a scheduled probe in the log of calls.
	callerProbe = "probe"
)

// probeConnections probes each active connection every now and then, until ctx ends. A probe is a call on its owner's
// behalf: it runs under their consent to integrations.execute, and without it not at all.
func (a *Actor) probeConnections(ctx context.Context) error {
	if a.config.ProbeEvery == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(max(a.config.ProbeEvery/20, 100*time.Millisecond))
	defer tick.Stop()
	for {
		if err := a.probeOnce(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// nextProbe is when a probe is due after this one: spread, so that connections that were made together part.
func (a *Actor) nextProbe() int64 {
	spread := 0.75 + 0.5*a.jitter()
	return a.Now().Add(time.Duration(float64(a.config.ProbeEvery) * spread)).UnixMicro()
}

// probeOnce makes the probes that are due.
func (a *Actor) probeOnce(ctx context.Context) error {
	err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return planProbes(ctx, tx, sweepBatch, a.nextProbe) })
	if err != nil {
		return err
	}
	due, err := dueProbes(ctx, a.DB.DB, a.Now().UnixMicro(), probeBatch)
	if err != nil {
		return err
	}
	for _, p := range due {
		var mine bool
		err := a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) (err error) {
			mine, err = claimProbe(ctx, tx, p, a.nextProbe())
			return err
		})
		if err != nil {
			return err
		}
		if !mine {
			continue
		}
		if err := a.probeAgain(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// probeAgain makes one scheduled probe. What weft itself refused (no consent, no token of a limit, no credentials) says
// nothing of the provider, and is not recorded as a probe.
func (a *Actor) probeAgain(ctx context.Context, p probeRow) error {
	c, err := findConnection(ctx, a.DB.DB, p.UserID, p.ConnectionID)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return dropProbe(ctx, tx, p.ConnectionID) })
	}
	if err != nil || c.Status != active {
		return err // its last probe tells why, until it is used again
	}
	provider, _ := a.shelf.get(c.Provider)
	if provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	grant, err := a.Guard.Check(ctx, c.UserID, subjects.ScopeIntegrationsExecute)
	if err != nil {
		return nil // without consent there is no probe
	}
	as := actors.WithCaller(ctx, actors.Caller{Service: callerProbe, UserID: c.UserID, Grant: grant})
	begin := time.Now()
	o, _, err := a.use(as, c, provider.Health, map[string]any{}, callIdentity{})
	if o == nil || o.refused != nil {
		a.Log.Debug("a probe is left out", zap.String("integration_id", c.ID), zap.Error(err))
		return nil
	}
	p.At, p.Duration, p.Class = a.Now().UnixMicro(), time.Since(begin).Microseconds(), ""
	if o.failed != nil {
		p.Class = string(o.failed.Class)
	}
	return a.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return recordProbe(ctx, tx, p) })
}

// headroom is what is left of the limits that count a user's connections to a provider. What cannot be told right now is
// left out.
func (a *Actor) headroom(ctx context.Context, p *manifest.Provider, rows []connectionRow) []subjects.LimitHeadroom {
	list := []subjects.LimitHeadroom{}
	for _, limit := range p.Limits {
		for _, c := range rows[:min(len(rows), maxHeadroom)] {
			if c.Host == "" {
				continue
			}
			if room, ok := a.limits.headroom(ctx, p, c, limit); ok {
				list = append(list, room)
			}
			if limit.OfProvider() {
				break
			}
		}
	}
	return list
}

// maxHeadroom is of how many connections a provider's status tells the head room.
const maxHeadroom = 5

// headroom is what is left of one limit.
func (l *limits) headroom(ctx context.Context, p *manifest.Provider, c connectionRow, limit manifest.Limit) (subjects.LimitHeadroom, bool) {
	n := l.counted(p.ID, c.Host, c.ID, limit)
	pace, err := l.pacer.Peek(ctx, n.key, n.requests, n.period)
	if err != nil {
		return subjects.LimitHeadroom{}, false
	}
	room := subjects.LimitHeadroom{
		Limit: limit.ID, Requests: n.requests, Seconds: n.period.Seconds(), Remaining: pace.Remaining, ResetSeconds: pace.Wait.Seconds(),
	}
	if !limit.OfProvider() {
		room.IntegrationID = c.ID
	}
	return room, true
}

// addProbe puts the newest scheduled probe into a status that has none that is newer.
func (a *Actor) addProbe(ctx context.Context, userID string, s *subjects.ProviderStatus) error {
	p, err := newestProbeTo(ctx, a.DB.DB, userID, s.Provider)
	at := time.UnixMicro(p.At).UTC()
	if err != nil || p.At == 0 || s.Probe != nil && s.Probe.At.After(at) {
		return err
	}
	s.Probe = &subjects.ProviderProbe{
		At: at, IntegrationID: p.ConnectionID, OK: p.Class == "", Class: p.Class, LatencyMS: float64(p.Duration) / 1000,
	}
	return nil
}
