//go:build torture

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	// quietFor is how long the victim is observed before an attack.
	quietFor = time.Second
	// latencyFactor and latencyFloor bound the victim's p99 during an attack: by a multiple of the quiet value, or by the quiet value and the
	// floor if that is more. The floor is what a request waits for a processor where two are shared with the clients: ten milliseconds for a time slice
	// of Go's scheduler, and as much for one of the kernel's.
	latencyFactor = 3
	latencyFloor  = 25 * time.Millisecond
)

// TestIsolationOfUsers attacks a weft that may use 512 MB, in one way after the other, while a victim uses it. Whatever the attackers do, the victim's
// requests are answered, at most three times slower than before, its runs are neither lost nor late, weft lives and says truly that it is ready,
// SIGTERM ends it with 0, and it starts again with what the attackers have left.
func TestIsolationOfUsers(t *testing.T) {
	report := &isolationReport{}
	defer report.log(t)
	for _, a := range attacks() {
		if isShort(t) && !slices.Contains(shortAttacks, a.name) {
			continue
		}
		t.Run(a.name, func(t *testing.T) { judgeAttack(t, newSingleSite(t), a, report) })
	}
}

// shortAttacks are those of a short run, of which each stands for several.
var shortAttacks = []string{
	"expressions that nest", "schemas that double", "expressions that compute", "loops that write", "events that start their own cause",
	"executions that wait for a provider", "bodies without an account", "schemas",
}

// isShort reports whether the run is too short to judge times: a machine that does something else would decide. They are reported. That weft
// lives, answers, loses nothing, stops and starts is judged in any run.
func isShort(t testing.TB) bool { return tortureDuration(t) < 10*time.Second }

// judgeAttack starts the site, lets it be attacked and reports every way in which the victim was hurt.
func judgeAttack(t *testing.T, s *site, a attack, report *isolationReport) {
	defer func() { s.end() }()
	if _, err := s.start(); err != nil {
		t.Fatal(err)
	}
	v := newBystander(t, s, startStubProvider(t, nil))
	attackers := startAttackers(t, s, a)
	j := &judgement{t: t, site: s, victim: v, name: a.name, report: report, lateBound: lateAfter}
	if a.kills {
		j.lateBound = lateAfterKill
	}
	defer j.finish()

	quiet, cancel := context.WithTimeout(t.Context(), quietFor)
	j.quiet = v.observe(quiet)
	cancel()
	j.during = j.attack(attackers, a)
	j.answers = attackers.answers()
	after, cancel := context.WithTimeout(t.Context(), max(tortureDuration(t)/10, time.Second/2))
	j.after = v.observe(after)
	cancel()
	j.residentAfter = s.resident()
	if dead := s.dead(); dead != "" {
		j.problem("%s", dead)
	}
	if !a.kills {
		j.judgeSamples("during", j.during)
	}
	j.judgeSamples("after", j.after)
	j.restart()
	if len(j.problems) > 0 {
		s.end()
		attackers.tell(orderExplain)
	}
	if err := attackers.end(); err != nil || len(j.problems) > 0 {
		t.Logf("the attackers' process: %v\n%s", err, attackers.output.String())
	}
}

// judgement collects how the victim fared.
type judgement struct {
	t                    *testing.T
	site                 *site
	victim               *bystander
	name, answers        string
	report               *isolationReport
	quiet, during, after []sample
	// lateBound is how late a run may be.
	lateBound           time.Duration
	lateness            lateness
	peak, residentAfter int64
	stopTook, startTook time.Duration
	problems            []string
}

func (j *judgement) problem(format string, a ...any) {
	j.problems = append(j.problems, fmt.Sprintf(format, a...))
}

// attack runs an attack for half of tortureDuration, or until a process has exited, and returns what the victim saw meanwhile.
func (j *judgement) attack(attackers *attackerProcess, a attack) []sample {
	ctx, cancel := context.WithTimeout(j.t.Context(), tortureDuration(j.t)/2)
	defer cancel()
	exited := j.site.exited()
	go func() {
		select {
		case <-exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	attackers.tell(orderAttack)
	defer attackers.tell(orderStop)
	var killing sync.WaitGroup
	defer killing.Wait()
	if a.kills {
		killing.Go(func() { j.site.killWorker(ctx) })
	}
	return j.victim.observe(ctx)
}

// judgeSamples judges the victim's samples of a phase.
func (j *judgement) judgeSamples(phase string, samples []sample) {
	faults := map[string]int{}
	for _, s := range samples {
		switch {
		case s.fault != "":
			faults[s.probe+": "+s.fault]++
		case s.probe != probeExecute && s.probe != probeProfile && s.took > lateAfter && !isShort(j.t):
			faults[s.probe+": late"]++
		}
	}
	for _, fault := range slices.Sorted(maps.Keys(faults)) {
		j.problem("%s: %d × %s", phase, faults[fault], fault)
	}
	if unanswered := faults[probeExecute+": "+noAnswer]; unanswered > 3 && !faultsOf(faults, probeReady) {
		j.problem("%s: /readyz answers 200 while %d executions are not answered", phase, unanswered)
	}
	for _, probe := range []string{probeExecute, probeProfile} {
		quiet := j.report.quietP99(probe, j.quiet)
		bound := max(latencyFactor*quiet, quiet+latencyFloor)
		if took := quantile(samples, probe, 99); took > bound && !isShort(j.t) {
			j.problem("%s: p99 of %s is %s, more than %s (quiet %s)", phase, probe, milliseconds(took), milliseconds(bound), milliseconds(quiet))
		}
	}
}

// faultsOf reports whether a probe has faults.
func faultsOf(faults map[string]int, probe string) bool {
	for fault := range faults {
		if strings.HasPrefix(fault, probe+": ") {
			return true
		}
	}
	return false
}

// restart terminates the site, starts it again, and checks what was acknowledged to the victim.
func (j *judgement) restart() {
	until := time.Now()
	var err error
	if j.stopTook, err = j.site.stop(); err != nil {
		j.problem("SIGTERM: %v", err)
	}
	j.peak = j.site.peak()
	j.site.end()
	if j.startTook, err = j.site.start(); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		j.problem("restart: %s; %s", first, j.site.dead())
		return
	}
	if j.startTook > restartWithin {
		j.problem("restart: ready after %s", j.startTook.Round(time.Second))
	}
	again, cancel := context.WithTimeout(j.t.Context(), time.Second/2)
	defer cancel()
	faults := map[string]int{}
	for _, s := range j.victim.observe(again) {
		if s.fault != "" {
			faults[s.probe+": "+s.fault]++
		}
	}
	for _, fault := range slices.Sorted(maps.Keys(faults)) {
		j.problem("after the restart: %d × %s", faults[fault], fault)
	}
	if len(faults) > 0 {
		for _, c := range j.site.running {
			j.t.Log(c.logTail())
		}
	}
	var problems []string
	if j.lateness, problems = j.victim.checkKept(until, j.lateBound); len(problems) > 0 {
		j.problems = append(j.problems, problems...)
	}
	if j.lateness.late > 0 && !isShort(j.t) {
		j.problem("%d of %d runs are late, one by %s", j.lateness.late, j.lateness.runs, j.lateness.worst.Round(time.Millisecond))
	}
	if dead := j.site.dead(); dead != "" {
		j.problem("after the restart: %s", dead)
	}
}

// finish reports the judgement to the test.
func (j *judgement) finish() {
	j.report.add(j)
	j.t.Logf("the attackers' requests: %s", j.answers)
	for _, p := range j.problems {
		j.t.Error(p)
	}
}

// isolationReport has a line for each attack, and the samples before each.
type isolationReport struct {
	lines []string
	quiet [][]sample
}

// quietP99 returns the quiet value of a probe: the median, over the attacks so far, of the slowest time before each. It is not moved by a machine that
// was busy with something else before one of them.
func (r *isolationReport) quietP99(probe string, now []sample) time.Duration {
	slowest := []time.Duration{quantile(now, probe, 100)}
	for _, samples := range r.quiet {
		slowest = append(slowest, quantile(samples, probe, 100))
	}
	slices.Sort(slowest)
	return slowest[(len(slowest)-1)/2]
}

// add adds the line of a judgement.
func (r *isolationReport) add(j *judgement) {
	verdict := "held"
	if len(j.problems) > 0 {
		verdict = fmt.Sprintf("%d problems: %.160s", len(j.problems), j.problems[0])
	}
	faults := 0
	for _, s := range slices.Concat(j.during, j.after) {
		if s.fault != "" {
			faults++
		}
	}
	columns := []string{j.name}
	for _, probe := range []string{probeExecute, probeProfile} {
		columns = append(columns, milliseconds(r.quietP99(probe, j.quiet)))
		for _, of := range []struct {
			samples []sample
			percent int
		}{{j.during, 50}, {j.during, 99}, {j.during, 100}, {j.after, 99}} {
			columns = append(columns, milliseconds(quantile(of.samples, probe, of.percent)))
		}
	}
	columns = append(columns, fmt.Sprint(faults), fmt.Sprintf("%d/%d", j.lateness.late, j.lateness.runs), j.lateness.worst.Round(time.Millisecond).String(),
		fmt.Sprint(j.peak), fmt.Sprint(j.residentAfter), j.stopTook.Round(10*time.Millisecond).String(), j.startTook.Round(10*time.Millisecond).String(), verdict)
	r.lines = append(r.lines, strings.Join(columns, "\t"))
	r.quiet = append(r.quiet, j.quiet)
}

// log logs the table.
func (r *isolationReport) log(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "attack\texecute: quiet p99\tp50\tp99\tmax\tafter p99\tprofile: quiet p99\tp50\tp99\tmax\tafter p99\tfaults\tlate\tworst\tpeak MB\tMB after\tSIGTERM\trestart\tverdict")
	for _, line := range r.lines {
		fmt.Fprintln(w, line)
	}
	_ = w.Flush()
	t.Logf("times in ms\n%s", table.String())
}

// quantile returns a percentile of the times that a probe took, with those that were not answered.
func quantile(samples []sample, probe string, percent int) time.Duration {
	var all []time.Duration
	for _, s := range samples {
		if s.probe == probe {
			all = append(all, s.took)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*percent/100]
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }
