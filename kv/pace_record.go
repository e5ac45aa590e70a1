package kv

import (
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
)

// paceRecord is the value of a key in the bucket.
type paceRecord struct {
	// Slot is the number of the latest counted slot. Counts has its tokens and those of the slots before it, latest first.
	Slot   int64 `json:"slot"`
	Counts []int `json:"counts"`
	// Until HoldUntil, in nanoseconds since 1970, at most HoldLeft more are admitted.
	HoldUntil int64 `json:"hold_until,omitempty"`
	HoldLeft  int   `json:"hold_left,omitempty"`
}

// slotOf returns the number of the slot that contains a time in nanoseconds since 1970.
func slotOf(at int64, period time.Duration) int64 { return at / (int64(period) / paceSlots) }

// used returns how many tokens count in a slot.
func (r paceRecord) used(slot int64) int {
	n := 0
	for i, count := range r.Counts {
		if r.Slot-int64(i) > slot-paceSpan {
			n += count
		}
	}
	return n
}

// free returns how many tokens can be taken.
func (r paceRecord) free(at, slot int64, limit int) int {
	free := max(0, limit-r.used(slot))
	if at < r.HoldUntil {
		free = min(free, r.HoldLeft)
	}
	return free
}

// wait returns how long no token becomes free; 0 if one is free now.
func (r paceRecord) wait(at, slot int64, limit int, period time.Duration) time.Duration {
	if at < r.HoldUntil && r.HoldLeft == 0 {
		return time.Duration(r.HoldUntil - at)
	}
	excess := r.used(slot) - limit + 1
	if excess <= 0 {
		return 0
	}
	for i := len(r.Counts) - 1; i >= 0; i-- {
		number := r.Slot - int64(i)
		if number <= slot-paceSpan {
			continue
		}
		if excess -= r.Counts[i]; excess <= 0 {
			// The first slot in which it no longer counts.
			return time.Duration((number+paceSpan)*(int64(period)/paceSlots) - at)
		}
	}
	return 0
}

// take returns the record with n more tokens counted in a slot.
func (r paceRecord) take(at, slot int64, n int) paceRecord {
	made := paceRecord{Slot: max(slot, r.Slot), HoldUntil: r.HoldUntil, HoldLeft: r.HoldLeft}
	if at >= r.HoldUntil {
		made.HoldUntil, made.HoldLeft = 0, 0
	} else {
		made.HoldLeft -= n
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

// life returns how long the record must be kept.
func (r paceRecord) life(at int64, period time.Duration) time.Duration {
	return max(2*period, time.Duration(r.HoldUntil-at)) + time.Second
}
