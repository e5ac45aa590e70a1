package outbox

import (
	"slices"
	"testing"
)

func handed(seq, prior int64) handedRow { return handedRow{row{Seq: seq}, prior} }

func taken(h *handover) []int64 {
	var numbers []int64
	for _, r := range h.take(10) {
		numbers = append(numbers, r.Seq)
	}
	return numbers
}

// What builds on a row that the relay does not have is read from the table, and so is what builds on one that was given up meanwhile.
func TestHandoverPassesWhatIsComplete(t *testing.T) {
	h := newHandover()
	if !h.mustScan() || h.mustScan() {
		t.Error("a new handover does not have the table read once")
	}
	h.prepare([]handedRow{handed(1, 0)})()
	h.prepare([]handedRow{handed(3, 1), handed(4, 1)})() // of the key of 1
	h.prepare([]handedRow{handed(5, 2)})()               // 2 is another process's
	if got := taken(h); !slices.Equal(got, []int64{1, 3, 4}) || !h.mustScan() {
		t.Errorf("took %v, want 1, 3 and 4 and a scan", got)
	}
	if h.prepare([]handedRow{handed(6, 4)})(); !slices.Equal(taken(h), []int64{6}) {
		t.Error("a row that is being published does not count as known")
	}
	late := h.prepare([]handedRow{handed(7, 6)})
	h.giveUp(nil)
	if late(); taken(h) != nil || !h.mustScan() {
		t.Error("a row was passed although the one before it was given up")
	}
	h.prepare([]handedRow{handed(8, 0)})()
	if h.deleted([]int64{8}); taken(h) != nil {
		t.Error("a row that was published from the table waits")
	}
}

// Beyond its bounds nothing is kept, until the table is read.
func TestHandoverIsBounded(t *testing.T) {
	h := newHandover()
	h.mustScan()
	for n := range int64(handoverRows + 5) {
		h.prepare([]handedRow{handed(n+1, 0)})()
	}
	if len(h.queue) != 0 || len(h.known) != 0 || h.bytes != 0 || !h.mustScan() {
		t.Errorf("%d rows wait", len(h.queue))
	}
	h.resume()
	big := handed(9999, 0)
	big.Data = make([]byte, handoverBytes/2+1)
	h.prepare([]handedRow{big})()
	if h.prepare([]handedRow{big})(); len(h.queue) != 0 || !h.mustScan() {
		t.Errorf("%d rows of %d bytes wait", len(h.queue), h.bytes)
	}
}
