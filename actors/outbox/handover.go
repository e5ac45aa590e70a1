package outbox

import "sync"

// Bounds of what waits in memory. What exceeds them is read from the table.
const (
	handoverRows  = 4096
	handoverBytes = 8 << 20
)

// handover passes the rows that this process has committed to its relay, so that it need not read them from the table.
//
// The order per key holds because a row is passed only if the last row of its key that was in the table before is known here: it waits here, is
// being published, or is published and not yet deleted. Then the same was true of that row, and so all rows of the key are here in their order. If
// that row is unknown, as that of another process or one whose publication has failed, the relay reads the table, from its beginning.
type handover struct {
	mu sync.Mutex
	// queue are rows to publish, with some that are no longer known: they were published from the table.
	queue []row
	bytes int
	// known are the rows in the table that wait here or are published.
	known map[int64]struct{}
	// given counts how often known rows were given up. What was prepared before may build on them.
	given uint64
	// scan reports that the table must be read; full, that nothing is queued until that begins; busy, that the relay is at work. While it is,
	// reading the table costs less: what was committed meanwhile is one page.
	scan, full, busy bool
}

// handedRow is an inserted row and the last row of its key before; 0 if there was none.
type handedRow struct {
	row
	prior int64
}

func newHandover() *handover { return &handover{known: map[int64]struct{}{}, scan: true} }

// wanted reports whether rows that are inserted now are to be prepared.
func (h *handover) wanted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.scan && !h.busy
}

// setBusy says whether the relay is at work.
func (h *handover) setBusy(busy bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = busy
}

// prepare is called in the transaction that inserts rows. The function that it returns passes them, and is called after the commit.
func (h *handover) prepare(rows []handedRow) (publish func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	given, complete := h.given, true
	for _, r := range rows {
		if _, known := h.known[r.prior]; r.prior != 0 && !known {
			complete = false
		}
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		size := 0
		for _, r := range rows {
			size += len(r.Data) + len(r.Header)
		}
		if len(h.queue)+len(rows) > handoverRows || h.bytes+size > handoverBytes {
			h.forget(nil)
			h.full = true
		}
		if !complete || h.full || given != h.given {
			h.scan = true
			return
		}
		for _, r := range rows {
			h.queue = append(h.queue, r.row)
			h.known[r.Seq] = struct{}{}
		}
		h.bytes += size
	}
}

// take returns the first rows that wait, at most limit.
func (h *handover) take(limit int) (rows []row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.queue) > 0 && len(rows) < limit {
		r := h.queue[0]
		h.queue = h.queue[1:]
		h.bytes -= len(r.Data) + len(r.Header)
		if _, known := h.known[r.Seq]; known {
			rows = append(rows, r)
		}
	}
	if len(h.queue) == 0 {
		h.queue = nil
	}
	return rows
}

// giveUp leaves everything but the published rows to a reading of the table.
func (h *handover) giveUp(published []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(published)
}

func (h *handover) forget(published []int64) {
	h.given++
	h.queue, h.bytes, h.scan, h.known = nil, 0, true, make(map[int64]struct{}, len(published))
	for _, seq := range published {
		h.known[seq] = struct{}{}
	}
}

// resume is called before the table is read, which finds what was committed until then: it ends the time without a queue.
func (h *handover) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full = false
}

// deleted forgets rows that are no longer in the table, also those that still wait.
func (h *handover) deleted(numbers []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, seq := range numbers {
		delete(h.known, seq)
	}
}

// mustScan reports whether the table must be read, and that this happens now.
func (h *handover) mustScan() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	scan := h.scan
	h.scan = false
	return scan
}

// scanNext has the table read.
func (h *handover) scanNext() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scan = true
}

// waiting reports whether there is something to publish.
func (h *handover) waiting() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.scan || len(h.queue) > 0
}
