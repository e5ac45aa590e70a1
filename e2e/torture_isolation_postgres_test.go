//go:build torture

package e2e_test

import (
	"context"
	"slices"
	"testing"
	"time"
)

// TestIsolationOnPostgres attacks a weft of two workflow processes, one process for the other actors and a gateway, with PostgreSQL, as
// TestIsolationOfUsers does. During the last attack one of the workflow processes is killed: the other takes over, and nothing of the victim's is lost.
func TestIsolationOnPostgres(t *testing.T) {
	report := &isolationReport{}
	defer report.log(t)
	for _, a := range postgresAttacks() {
		if isShort(t) && !slices.Contains(shortAttacks, a.name) {
			continue
		}
		t.Run(a.name, func(t *testing.T) { judgeAttack(t, newSharedSite(t), a, report) })
	}
}

// postgresAttacks are the attacks on several processes.
func postgresAttacks() []attack {
	return []attack{
		{name: "schemas", run: attackWithSchemas(func() []schemaAttack { return append(doublingSchemas(), largeSchemas()...) })},
		{name: "expressions", run: together(attackWithComputations, attackWithGrowingValues)},
		{name: "loops and branches", run: together(attackWithWritingLoops, attackWithSharedState)},
		{name: "events and schedules", run: together(attackWithEventLoops, attackWithSchedules)},
		{name: "a worker that is killed", run: attackWithComputations, kills: true},
	}
}

// newSharedSite returns a weft of several processes on PostgreSQL.
func newSharedSite(t *testing.T) *site {
	t.Helper()
	binary, err := weftBinary()
	if err != nil {
		t.Fatal(err)
	}
	address, mail := freePort(t), startHostileMailServer(t)
	p := startProcesses(t, binary, append(isolationSettings(), mail.settings()...)...)
	return &site{t: t, url: "http://" + address, mail: mail, programs: []program{
		p.run("others", "--actors", "auth,integration,consent,notification"), p.run("gateway", "--gateway", "--http", address),
		p.run("workflow-1", "--actors", "workflow"), p.run("workflow-2", "--actors", "workflow"),
	}}
}

// killWorker kills the last process after a third of the time that is left for the attack.
func (s *site) killWorker(ctx context.Context) {
	end, _ := ctx.Deadline()
	select {
	case <-time.After(time.Until(end) / 3):
	case <-ctx.Done():
		return
	}
	worker := s.running[len(s.running)-1]
	worker.killed.Store(true)
	worker.kill()
}
