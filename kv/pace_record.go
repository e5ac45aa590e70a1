package kv

import (
	"cmp"
	"slices"
	"time"
)

const (
	// paceSlots is the number of slots in a period.
	paceSlots = 48
	// paceSlack is how many slots beyond a period must pass before a token is free again: one because a slot is counted as
	// a whole, one for the delay between a token and its call.
	paceSlack = 2
	// paceSpan is the number of slots that count.
	paceSpan = paceSlots + paceSlack
	// maxHolds bounds the holds of a record.
	maxHolds = 8
)

// paceRecord is the value of a key in the bucket.
type paceRecord struct {
	// Slot is the number of the latest counted slot. Counts has its tokens and those of the slots before it, latest first.
	Slot   int64 `json:"slot"`
	Counts []int `json:"counts"`
	// Holds are what the enforcer said, by their end. A later one admits more than an earlier one, or it would be all that counts.
	Holds []paceHold `json:"holds,omitempty"`
	// Said counts the holds: a token in hand may be spent only while it is what it was when the token was taken. SaidAt is the
	// time of the latest.
	Said   int64 `json:"said,omitempty"`
	SaidAt int64 `json:"said_at,omitempty"`
	// Until Ahead, tokens that were taken may be unspent: in the process By, or in several if that is empty.
	Ahead int64  `json:"ahead,omitempty"`
	By    string `json:"by,omitempty"`
}

// paceHold says that until a time at most left more are admitted. Times are in nanoseconds since 1970.
type paceHold struct {
	Until int64 `json:"until"`
	Left  int   `json:"left"`
}

// slotOf returns the number of the slot that contains a time in nanoseconds since 1970.
func slotOf(at int64, period time.Duration) int64 { return at / (int64(period) / paceSlots) }

// usedSince returns how many tokens are counted in a slot and those after it.
func (r paceRecord) usedSince(slot int64) int {
	n := 0
	for i, count := range r.Counts {
		if r.Slot-int64(i) >= slot {
			n += count
		}
	}
	return n
}

// used returns how many tokens count in a slot.
func (r paceRecord) used(slot int64) int { return r.usedSince(slot - paceSpan + 1) }

// free returns how many tokens can be taken.
func (r paceRecord) free(at, slot int64, limit int) int {
	free := max(0, limit-r.used(slot))
	for _, h := range r.Holds {
		if at < h.Until {
			free = min(free, h.Left)
		}
	}
	return free
}

// wait returns how long no token becomes free; 0 if one is free now.
func (r paceRecord) wait(at, slot int64, limit int, period time.Duration) time.Duration {
	var held time.Duration
	for _, h := range r.Holds {
		if h.Left == 0 {
			held = max(held, time.Duration(h.Until-at))
		}
	}
	excess := r.used(slot) - limit + 1
	if excess <= 0 {
		return held
	}
	for i := len(r.Counts) - 1; i >= 0; i-- {
		number := r.Slot - int64(i)
		if number <= slot-paceSpan {
			continue
		}
		if excess -= r.Counts[i]; excess <= 0 {
			// The first slot in which it no longer counts.
			return max(held, time.Duration((number+paceSpan)*(int64(period)/paceSlots)-at))
		}
	}
	return held
}

// take returns the record with n more tokens counted in a slot.
func (r paceRecord) take(at, slot int64, n int) paceRecord {
	made := r
	made.Slot, made.Holds = max(slot, r.Slot), nil
	for _, h := range r.Holds {
		if at < h.Until {
			made.Holds = append(made.Holds, paceHold{Until: h.Until, Left: max(0, h.Left-n)})
		}
	}
	ahead := min(made.Slot-r.Slot, paceSpan)
	if len(r.Counts) == 0 {
		ahead = 0
	}
	made.Counts = append(make([]int, ahead), r.Counts...)
	made.Counts = made.Counts[:min(len(made.Counts), paceSpan)]
	if len(made.Counts) == 0 {
		made.Counts = []int{0}
	}
	made.Counts[0] += n
	for len(made.Counts) > 1 && made.Counts[len(made.Counts)-1] == 0 {
		made.Counts = made.Counts[:len(made.Counts)-1]
	}
	made.Counts = slices.Clip(made.Counts)
	return made
}

// ahead returns the record with tokens that a process may hold unspent until a time.
func (r paceRecord) ahead(at, until int64, process string) paceRecord {
	if r.Ahead > at && r.By != process {
		process = ""
	}
	r.Ahead, r.By = max(r.Ahead, until), process
	return r
}

// mayAdmit returns an upper bound of what is admitted from now until a time: tokens that still count then are not free before.
func (r paceRecord) mayAdmit(until int64, limit int, period time.Duration) int {
	return limit - r.usedSince(slotOf(until, period)-paceSlots+1)
}

// holds reports whether what a hold says is already in the record.
func (r paceRecord) holds(h paceHold) bool {
	return slices.ContainsFunc(r.Holds, func(other paceHold) bool { return other.covers(h) })
}

// covers reports whether a hold says all that another one says.
func (h paceHold) covers(other paceHold) bool { return h.Left <= other.Left && h.Until >= other.Until }

// hold returns the record with one more hold. Holds that ended or that it covers are dropped. Beyond maxHolds, the two that differ
// least in what they admit become one that admits less than either.
func (r paceRecord) hold(at int64, h paceHold) paceRecord {
	made := r
	made.Holds = []paceHold{h}
	for _, other := range r.Holds {
		if at < other.Until && !h.covers(other) {
			made.Holds = append(made.Holds, other)
		}
	}
	slices.SortFunc(made.Holds, func(a, b paceHold) int { return cmp.Compare(a.Until, b.Until) })
	if len(made.Holds) > maxHolds {
		closest := 0
		for i := range len(made.Holds) - 1 {
			if made.Holds[i+1].Left-made.Holds[i].Left < made.Holds[closest+1].Left-made.Holds[closest].Left {
				closest = i
			}
		}
		made.Holds[closest+1].Left = min(made.Holds[closest].Left, made.Holds[closest+1].Left)
		made.Holds = slices.Delete(made.Holds, closest, closest+1)
	}
	made.Said, made.SaidAt = r.Said+1, at
	return made
}

// life returns how long the record must be kept.
func (r paceRecord) life(at int64, period time.Duration) time.Duration {
	life := 2 * period
	for _, h := range r.Holds {
		life = max(life, time.Duration(h.Until-at))
	}
	return life + time.Second
}
