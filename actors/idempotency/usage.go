package idempotency

import "sync"

// usage counts the records of callers. A sweep sets it to what is stored, and calls of this process add to it: keeping it costs a
// call no statement. Calls that run during a sweep, and what other processes record, may be missing until the next one.
type usage struct {
	records, bytes int64
	mu             sync.Mutex
	callers        map[string]callerUsage
}

// callerUsage is what the records of one caller count.
type callerUsage struct{ Records, Bytes int64 }

func newUsage(records, bytes int64) *usage {
	return &usage{records: records, bytes: bytes, callers: map[string]callerUsage{}}
}

// fits reports whether a caller may have one more record.
func (u *usage) fits(caller string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	has := u.callers[caller]
	return has.Records < u.records && has.Bytes < u.bytes
}

// add adds to what a caller has.
func (u *usage) add(caller string, records, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	has := u.callers[caller]
	has.Records, has.Bytes = max(0, has.Records+records), max(0, has.Bytes+bytes)
	if has == (callerUsage{}) {
		delete(u.callers, caller)
		return
	}
	u.callers[caller] = has
}

// set replaces what all callers have.
func (u *usage) set(callers map[string]callerUsage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.callers = callers
}
