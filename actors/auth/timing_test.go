package auth_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// perRound is the number of samples of each kind in a round.
const perRound = 4

// timing compares the durations of several kinds of calls. Samples are taken in rounds in which the kinds are shuffled,
// and compared only within a round, because the load of the machine changes between rounds and is the same for all
// kinds within one.
type timing struct {
	medians [][]time.Duration // by round and kind
}

// takeRound measures one more round. The order is random, because the work that a call leaves behind slows the next
// one.
func (t *timing) takeRound(kinds int, try func(kind int)) {
	order := make([]int, 0, perRound*kinds)
	for i := range perRound * kinds {
		order = append(order, i%kinds)
	}
	rand.Shuffle(len(order), func(i, k int) { order[i], order[k] = order[k], order[i] })
	times := make([][]time.Duration, kinds)
	for _, k := range order {
		at := time.Now()
		try(k)
		times[k] = append(times[k], time.Since(at))
	}
	round := make([]time.Duration, kinds)
	for k := range times {
		round[k] = median(times[k])
	}
	t.medians = append(t.medians, round)
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

// medianOf returns the median of a kind.
func (t *timing) medianOf(kind int) time.Duration {
	all := make([]time.Duration, 0, len(t.medians))
	for _, round := range t.medians {
		all = append(all, round[kind])
	}
	return median(all)
}

// confidence is the half-width of an interval in standard deviations: 99 of 100 intervals contain the true median.
const confidence = 2.58

// difference returns by how much calls of kind b take longer than calls of kind a: the median of the rounds'
// differences, and its confidence interval from order statistics.
func (t *timing) difference(a, b int) (low, mid, high time.Duration) {
	n := len(t.medians)
	apart := make([]time.Duration, 0, n)
	for _, round := range t.medians {
		apart = append(apart, round[b]-round[a])
	}
	slices.Sort(apart)
	rank := int(math.Floor(float64(n)/2 - confidence*math.Sqrt(float64(n))/2))
	if rank < 0 {
		return math.MinInt64, apart[n/2], math.MaxInt64
	}
	return apart[rank], apart[n/2], apart[n-1-rank]
}

type timingVerdict int

const (
	undecided timingVerdict = iota
	alike
	apart
)

// verdict reports whether two kinds differ by more than the bound: alike if the confidence interval is within the
// bound, apart if it excludes zero and the median exceeds the bound.
func (t *timing) verdict(a, b int, bound time.Duration) timingVerdict {
	low, mid, high := t.difference(a, b)
	switch {
	case low >= -bound && high <= bound:
		return alike
	case mid > bound && low > 0, mid < -bound && high < 0:
		return apart
	}
	return undecided
}

// TestTimingVerdict: a real difference is found, and none is invented, beneath noise that is larger than it.
func TestTimingVerdict(t *testing.T) {
	t.Parallel()
	const call = 60 * time.Millisecond
	noise := rand.New(rand.NewPCG(1, 2)) // the same in each run
	for _, test := range []struct {
		name   string
		slower float64
		want   timingVerdict
	}{{"alike", 0, alike}, {"a tenth slower", 0.10, apart}, {"a tenth faster", -0.10, apart}} {
		var got timing
		load := 1.0
		for len(got.medians)*perRound < 900 {
			load = max(1, load+noise.NormFloat64()) // other load of the machine
			round := make([]time.Duration, 2)
			for kind := range round {
				times := make([]time.Duration, perRound)
				for i := range times {
					took := float64(call) * (load + 0.1*noise.ExpFloat64())
					if kind == 1 {
						took += float64(call) * test.slower
					}
					times[i] = time.Duration(took)
				}
				round[kind] = median(times)
			}
			got.medians = append(got.medians, round)
		}
		if v := got.verdict(0, 1, call/20); v != test.want {
			low, mid, high := got.difference(0, 1)
			t.Errorf("%s: %d, want %d; the difference is %s (%s to %s)", test.name, v, test.want, mid, low, high)
		}
	}
}
