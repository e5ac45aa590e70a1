package auth_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// perRound is how many samples of each kind a round takes.
const perRound = 4

// timing compares how long several kinds of call take. Samples are taken in rounds, within which the kinds are shuffled, and
// compared within a round alone: what else the machine does changes from round to round and is the same for all kinds.
type timing struct {
	medians [][]time.Duration // of each round, of each kind
}

// take measures one more round. Each kind follows upon each as often: what a call leaves to be done afterwards slows the
// next one.
func (t *timing) take(kinds int, try func(kind int)) {
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

// of is a kind's median.
func (t *timing) of(kind int) time.Duration {
	all := make([]time.Duration, 0, len(t.medians))
	for _, round := range t.medians {
		all = append(all, round[kind])
	}
	return median(all)
}

// certainty is how many standard deviations an interval reaches to each side: 99 of 100 hold the true median.
const certainty = 2.58

// difference is by how much a call of kind b takes longer than one of kind a: the median of the rounds' differences, and the
// interval of order statistics that holds the true one.
func (t *timing) difference(a, b int) (low, mid, high time.Duration) {
	n := len(t.medians)
	apart := make([]time.Duration, 0, n)
	for _, round := range t.medians {
		apart = append(apart, round[b]-round[a])
	}
	slices.Sort(apart)
	rank := int(math.Floor(float64(n)/2 - certainty*math.Sqrt(float64(n))/2))
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

// verdict tells whether two kinds differ by more than the bound: alike where it is certain that they do not, apart where it is
// certain that they differ, and probable that it is by more.
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

// TestTimingTellsWhatIsThere: a difference is found, and none is made up, beneath noise that is larger than it.
func TestTimingTellsWhatIsThere(t *testing.T) {
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
			load = max(1, load+noise.NormFloat64()) // what else the machine does
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
