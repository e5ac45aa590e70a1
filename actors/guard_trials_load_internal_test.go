package actors

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// serve lets one start after another begin, until the process ends.
func (p *trialProcess) serve(random *rand.Rand) {
	for {
		p.sleep(time.Duration(random.Int64N(int64(600 * time.Millisecond))))
		call := trialCall{process: p.name, scope: trialScopes[random.IntN(len(trialScopes))], kind: callStart}
		grant := mesh.Grant{UserID: trialUser}
		if random.IntN(2) == 0 { // of work that was queued, or waits for a retry, under a consent
			p.w.mu.Lock()
			grant.Scope, grant.ConsentID = call.scope, p.w.states[stateKey(trialUser, call.scope)].ConsentID
			p.w.mu.Unlock()
			call.consent, _ = strconv.Atoi(grant.ConsentID)
			p.sleep(time.Duration(random.Int64N(int64(2 * time.Second))))
		}
		p.attempt(call, grant, random)
	}
}

// attempt lets one start begin and records it.
func (p *trialProcess) attempt(call trialCall, grant mesh.Grant, random *rand.Rand) {
	w := p.w
	number := scopeNumber(call.scope)
	from, ended := w.now(), p.ended[number].Load()
	err := p.do(context.Background(), grant, call.scope, func(ctx context.Context, started func()) error {
		if random.IntN(3) == 0 { // it resolves a name, opens a connection
			select {
			case <-time.After(time.Duration(random.Int64N(int64(20 * time.Millisecond)))):
			case <-ctx.Done():
			case <-p.killed:
			}
		}
		p.step()
		if random.IntN(20) == 0 {
			return errTrialStart
		}
		if err := Permit(ctx); err != nil {
			return err
		}
		w.arrive(call)
		started()
		return nil
	})
	p.step()
	switch subjects.CodeOf(err) {
	case subjects.CodeConsentRequired:
		w.refusals.Add(1)
		// A barrier that arrives late, when the consent was granted again, refuses what it finds: that is no fault.
		if ended == p.entered[number].Load() {
			w.record(call, false, from, w.now())
		}
	case subjects.CodeUnavailable:
		w.unavailable.Add(1)
	}
}

func scopeNumber(scope string) int { return slices.Index(trialScopes, scope) }

// arrive is the provider: an action has started.
func (w *trialWorld) arrive(call trialCall) {
	at := w.now()
	w.mu.Lock()
	if w.returned[call.scope] {
		w.late.Add(1)
	}
	w.mu.Unlock()
	w.starts.Add(1)
	w.record(call, true, at, w.now())
}

// fail does to the processes of a slot what happens to processes.
func (s *trialSlot) fail(random *rand.Rand) {
	began := time.Now()
	long := func(longest time.Duration) time.Duration { return time.Duration(random.Int64N(int64(longest))) }
	for {
		<-time.After(long(3 * time.Second))
		if time.Since(began) > trialEnd {
			return
		}
		s.w.faults.Add(1)
		p := s.process
		switch random.IntN(5) {
		case 0:
			p.pause()
			<-time.After(long(2 * mesh.LeaseLength))
			p.unpause()
		case 1:
			p.cut.Store(true)
			<-time.After(long(2 * mesh.LeaseLength))
			p.cut.Store(false)
		case 2:
			p.lossy.Store(true)
			s.w.losing.Add(1)
			<-time.After(long(4 * time.Second))
			s.w.losing.Add(-1)
			p.lossy.Store(false)
		case 3:
			p.kill()
			<-time.After(long(2 * time.Second))
			s.start()
		case 4: // a short pause, within the lease
			p.pause()
			<-time.After(long(time.Second))
			p.unpause()
		}
	}
}
