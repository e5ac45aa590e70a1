package schedule

// Overlap is the policy for a run that is due while another run of the schedule is running.
type Overlap string

// The overlap policies.
const (
	// Skip drops the new run.
	Skip Overlap = "skip"
	// BufferOne queues the first new run and drops others.
	BufferOne Overlap = "buffer_one"
	// BufferAll queues all new runs; they start one after the other.
	BufferAll Overlap = "buffer_all"
	// CancelOther cancels what is running; once it has ended, including compensation, the newest run starts.
	CancelOther Overlap = "cancel_other"
	// TerminateOther cancels what is running and starts the newest run at once.
	TerminateOther Overlap = "terminate_other"
	// Allow runs them concurrently, up to MaxRunning at a time; more wait.
	Allow Overlap = "allow"
)

// MaxRunning bounds the runs of a schedule that the policy Allow runs at the same time.
const MaxRunning = 100

// defaultOverlap is the policy of a schedule that declares none. The specification has every start a run "regardless of whether
// the previous run is still in progress"; of cron it says nothing about that.
func defaultOverlap(p *Plan) Overlap {
	if p.Has(Every) {
		return Allow
	}
	return Skip
}

// Overlaps returns all policies.
func Overlaps() []Overlap {
	return []Overlap{Skip, BufferOne, BufferAll, CancelOther, TerminateOther, Allow}
}

// Verdict is what happens to a run that is due.
type Verdict string

// The verdicts: start the run, keep it queued, or drop it.
const (
	Start Verdict = "start"
	Wait  Verdict = "wait"
	Drop  Verdict = "leave"
)

// Decide decides about the runs that are due, in the order of their nominal times, while a number of the schedule's runs
// are running. If cancel is set, those must be cancelled before the verdicts are applied.
func Decide(due []Overlap, running int) (verdicts []Verdict, cancel bool) {
	verdicts = make([]Verdict, len(due))
	buffered := false
	for i, policy := range due {
		verdict := Start
		if running > 0 {
			switch policy {
			case Skip:
				verdict = Drop
			case BufferOne:
				verdict = Wait
				if buffered {
					verdict = Drop
				}
				buffered = true
			case BufferAll:
				verdict = Wait
			case Allow:
				if running >= MaxRunning {
					verdict = Wait
				}
			case CancelOther:
				verdict, cancel = Wait, true
			case TerminateOther:
				cancel, running = true, 0
			}
		}
		if superseded(due, i) {
			verdict = Drop
		}
		if verdict == Start {
			running++
		}
		verdicts[i] = verdict
	}
	return verdicts, cancel
}

// superseded reports whether a newer due run would cancel this one.
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
