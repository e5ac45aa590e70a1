package engine

import "time"

// firedTimer is a timer that an owner has fired, for the fault tests (`make torture`). In an ordinary build observeTimer does nothing.
type firedTimer struct {
	Execution string    `json:"execution"`
	Timer     string    `json:"timer"`
	Due       time.Time `json:"due"`
	// From is when this owner could fire it: when it was due, the owner had taken the partition over, and the execution was resumed.
	From  time.Time `json:"from"`
	Fired time.Time `json:"fired"`
}
