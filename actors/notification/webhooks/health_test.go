package webhooks

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weftmesh/weft/actors/notification/dispatch"
)

const fiveDays = 5 * 24 * time.Hour

func outcomeAt(at time.Time, succeeded bool) dispatch.Outcome {
	o := dispatch.Outcome{EndpointID: "w", Succeeded: succeeded, Attempt: dispatch.Attempt{StartedAt: at}}
	if !succeeded {
		o.Error = "the endpoint answered 500"
	}
	return o
}

// TestSteadyFailure: a webhook that fails every hour is warned after a day and after four, and disabled after five; a success in between
// begins anew.
func TestSteadyFailure(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	run := func(hours int, successAt int) (steps map[step][]int) {
		steps = map[step][]int{}
		var h webhookHealthRow
		for hour := range hours {
			now := begin.Add(time.Duration(hour) * time.Hour)
			var s attemptSummary
			s.add(outcomeAt(now, hour == successAt))
			var follows step
			h, _, follows = h.after(s, now, fiveDays)
			if follows != stepNone {
				steps[follows] = append(steps[follows], hour)
			}
			if follows == stepDisable {
				return steps
			}
		}
		return steps
	}
	steps := run(1000, -1)
	if warned := steps[stepWarn]; len(warned) != 2 || warned[0] != 24 || warned[1] != 96 || len(steps[stepDisable]) != 1 || steps[stepDisable][0] != 120 {
		t.Errorf("got %v", steps)
	}
	steps = run(1000, 100)
	if warned := steps[stepWarn]; len(warned) != 4 || warned[2] != 101+24 || steps[stepDisable][0] != 101+120 {
		t.Errorf("with a success: got %v", steps)
	}
}

// TestRareFailure: a webhook whose second event fails months after the first one is warned twice, half a day apart, before it is disabled.
func TestRareFailure(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var h webhookHealthRow
	var got []step
	for _, after := range []time.Duration{0, 60 * 24 * time.Hour, 60*24*time.Hour + time.Minute, 60*24*time.Hour + 13*time.Hour, 60*24*time.Hour + 14*time.Hour, 61*24*time.Hour + 2*time.Hour} {
		var s attemptSummary
		s.add(outcomeAt(begin.Add(after), false))
		var follows step
		h, _, follows = h.after(s, begin.Add(after), fiveDays)
		got = append(got, follows)
	}
	want := []step{stepNone, stepWarn, stepNone, stepWarn, stepNone, stepDisable}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// TestHealthProperties: whatever the outcomes, a webhook is failing if and only if its last outcome was a failure, failing_since is that of the
// first failure after the last success, nothing is disabled that has not failed for five days with two warnings, and a batch means what its
// outcomes mean one by one.
func TestHealthProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		var single, batched webhookHealthRow
		var batch attemptSummary
		var since time.Time
		warnings := 0
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(1, 40*3600).Draw(t, "seconds")) * time.Second)
			o := outcomeAt(now, rapid.IntRange(0, 9).Draw(t, "succeeds") == 0)
			switch {
			case o.Succeeded:
				since, warnings = time.Time{}, 0
			case since.IsZero():
				since = now
			}
			var s attemptSummary
			s.add(o)
			batch.add(o)
			var follows step
			single, _, follows = single.after(s, now, fiveDays)
			if follows == stepWarn {
				warnings++
			}
			if follows == stepDisable && (now.Sub(since) < fiveDays || warnings != 2) {
				t.Fatalf("disabled after %s and %d warnings", now.Sub(since), warnings)
			}
			if failing := single.FailingSince; (failing != 0) == since.IsZero() || failing != 0 && failing != since.UnixMicro() {
				t.Fatalf("failing since %d, want %s", failing, since)
			}
		}
		batched, _, _ = batched.after(batch, now, fiveDays)
		if batched.FailingSince != single.FailingSince || batched.LastError != single.LastError {
			t.Fatalf("as a batch %+v, one by one %+v", batched, single)
		}
	})
}

// TestSuccessIsRecordedOnceAMinute: a webhook that works costs no statement for each delivery.
func TestSuccessIsRecordedOnceAMinute(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var h webhookHealthRow
	changes := 0
	for range 180 {
		now = now.Add(time.Second)
		var s attemptSummary
		s.add(outcomeAt(now, true))
		next, changed, _ := h.after(s, now, fiveDays)
		if changed {
			changes++
		}
		h = next
	}
	if changes != 3 {
		t.Errorf("recorded %d times in three minutes", changes)
	}
}
