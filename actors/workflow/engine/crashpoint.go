package engine

// crashpoint names a moment at which a process is killed by the fault tests (`make torture`). An ordinary build dies
// nowhere: reach does nothing in it.
type crashpoint string

const (
	// crashDecided is after a turn was decided, before it is appended to the log.
	crashTransitionDecided crashpoint = "decided"
	// crashAppended is after the log has a turn, before anything that follows from it.
	crashTransitionAppended crashpoint = "appended"
	// crashBeforeEffect is when a call is about to be made, crashAfterEffect when it was made and its result is not recorded.
	crashBeforeEffect crashpoint = "before_effect"
	crashAfterEffect  crashpoint = "after_effect"
	// crashBeforeAck is after a start is in the log, before who asked for it knows.
	crashBeforeAck crashpoint = "before_ack"
	// crashGivenUp is when a child is about to be cancelled that its parent does not wait for any more.
	crashChildAbandoned crashpoint = "given_up"
	// crashFolding is within the transaction that folds the log, crashFolded after it.
	crashProjecting crashpoint = "folding"
	crashProjected  crashpoint = "folded"
)
