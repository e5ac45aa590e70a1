package engine

// crashpoint names a point at which the fault tests (`make torture`) kill the process. In an ordinary build reach does nothing.
type crashpoint string

const (
	// crashTransitionDecided is after a transition was decided, before it is appended.
	crashTransitionDecided crashpoint = "decided"
	// crashTransitionAppended is after the log has a transition, before anything follows from it.
	crashTransitionAppended crashpoint = "appended"
	// crashBeforeEffect is before a call is made, crashAfterEffect after it was made and before its result is recorded.
	crashBeforeEffect crashpoint = "before_effect"
	crashAfterEffect  crashpoint = "after_effect"
	// crashBeforeAck is after a start is in the log, before it is acknowledged.
	crashBeforeAck crashpoint = "before_ack"
	// crashChildAbandoned is before a child is cancelled that its parent does not wait for any more.
	crashChildAbandoned crashpoint = "child_abandoned"
	// crashProjecting is within the transaction of a projection, crashProjected after it.
	crashProjecting crashpoint = "projecting"
	crashProjected  crashpoint = "projected"
)
