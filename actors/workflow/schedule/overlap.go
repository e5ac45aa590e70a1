package schedule

// Overlap is what happens to a run that is due while one of the same schedule still runs.
type Overlap string

// The overlap policies.
const (
	// Skip: the new run is left out.
	Skip Overlap = "skip"
	// BufferOne: the first one waits, others are left out.
	BufferOne Overlap = "buffer_one"
	// BufferAll: all wait, and run one after the other.
	BufferAll Overlap = "buffer_all"
	// CancelOther: what runs is cancelled; once it has ended, compensation included, the newest run starts.
	CancelOther Overlap = "cancel_other"
	// TerminateOther: what runs is cancelled, and the newest run starts at once.
	TerminateOther Overlap = "terminate_other"
	// Allow: they run side by side.
	Allow Overlap = "allow"
)

// Overlaps lists the policies.
func Overlaps() []Overlap {
	return []Overlap{Skip, BufferOne, BufferAll, CancelOther, TerminateOther, Allow}
}

// Verdict is what becomes of a run that is due.
type Verdict string

// The verdicts.
const (
	Start Verdict = "start"
	Wait  Verdict = "wait"
	Leave Verdict = "leave"
)

// Decide judges the runs that are due, in the order of their nominal times, where so many of the schedule's are
// running already. cancel tells that those that run are to be cancelled: before the first verdict is acted on.
func Decide(due []Overlap, running int) (verdicts []Verdict, cancel bool) {
	verdicts = make([]Verdict, len(due))
	buffered := false
	for i, policy := range due {
		verdict := Start
		if running > 0 {
			switch policy {
			case Skip:
				verdict = Leave
			case BufferOne:
				verdict = Wait
				if buffered {
					verdict = Leave
				}
				buffered = true
			case BufferAll:
				verdict = Wait
			case CancelOther:
				verdict, cancel = Wait, true
			case TerminateOther:
				cancel, running = true, 0
			}
		}
		if superseded(due, i) {
			verdict = Leave
		}
		if verdict == Start {
			running++
		}
		verdicts[i] = verdict
	}
	return verdicts, cancel
}

// superseded tells whether a run would be ended by a newer one that is due as well.
func superseded(due []Overlap, i int) bool {
	if due[i] != CancelOther && due[i] != TerminateOther {
		return false
	}
	for _, later := range due[i+1:] {
		if later == CancelOther || later == TerminateOther {
			return true
		}
	}
	return false
}
